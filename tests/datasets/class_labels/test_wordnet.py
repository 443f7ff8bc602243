"""WordNet ids: the built-in ones become names, others keep what the file calls them."""

from __future__ import annotations

from resnet_serve.datasets.class_labels.wordnet import imagenet, named


def test_the_ids_are_those_of_the_names() -> None:
    assert len(imagenet()) == len(set(imagenet().values())) == 1000
    assert imagenet()["n01440764"] == "tench"
    assert imagenet()["n15075141"] == "toilet tissue"
    assert named(list(imagenet())) == list(imagenet().values())


def test_other_ids_keep_their_names() -> None:
    assert named(["n00004475 organism, being", "n01440764 tench"]) == ["organism, being", "tench"]
    assert named(["n00004475", "n01440764"]) == ["n00004475", "n01440764"]
    assert named(["n01440764", "cat"]) == ["n01440764", "cat"]
    assert named([]) == []
