"""ImageNet's names in their three forms: which are one class, and which are not certain."""

from __future__ import annotations

import unicodedata

from resnet_serve.datasets.class_labels.wordnet import (
    classes,
    forms,
    imagenet,
    named,
    names_of,
    ours,
    sharing,
    synsets,
)

IDS, NAMES = list(imagenet()), list(imagenet().values())


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


def test_the_long_names_are_those_of_the_same_classes() -> None:
    assert len(synsets()) == 1000
    assert synsets()[0] == "tench, Tinca tinca"
    assert synsets()[999] == "toilet tissue, toilet paper, bathroom tissue"
    odd = {short for short, long in zip(NAMES, synsets(), strict=True) if short not in long}
    assert odd == {"crane bird", "maillot tank suit"}


def test_each_form_of_all_thousand_is_the_class_of_its_place() -> None:
    for form in (IDS, NAMES, synsets()):
        assert classes(form) == list(range(1000))
    backwards = classes(list(reversed(synsets())))
    assert backwards is not None
    assert [n for n in range(1000) if backwards[n] != 999 - n] == [482, 865]  # both "crane"
    assert backwards[482] is backwards[865] is None


def test_labels_that_are_not_all_imagenet_s_have_no_class() -> None:
    assert classes(["tench", "my cat"]) is None
    assert classes([]) is None
    assert classes(["crane", "tench"]) == [517, 0]
    assert classes(["crane", "tench, Tinca tinca"]) == [None, 0]


def test_a_name_of_two_synsets_is_not_another_name_of_one() -> None:
    assert {"n01440764", "tench", "tench, Tinca tinca", "Tinca tinca"} == names_of(0)
    panda = NAMES.index("giant panda")
    assert "panda" not in names_of(panda)
    assert "coon bear" in names_of(panda)
    assert names_of(None) == frozenset()


def test_forms_of_one_name() -> None:
    assert forms("tench") == {"n01440764", "tench", "tench, Tinca tinca"}
    assert forms("crane") == forms("my cat") == frozenset()
    assert ours("tench, Tinca tinca") == ours("n01440764") == "tench"
    assert ours("crane") == "crane"
    assert sharing("crane") == ("n02012849", "n03126707")
    assert sharing(unicodedata.normalize("NFD", "tench")) == ("n01440764",)
