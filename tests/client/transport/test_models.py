"""The names of a server's models."""

from __future__ import annotations

from resnet_client.transport.models import classifiers, nearest, number, unknown


def test_companions_are_not_classifiers() -> None:
    names = ["resnet18", "resnet18_image", "resnet18_preprocess", "cats_image", "resnet50"]
    assert classifiers(names) == ["resnet18", "cats_image", "resnet50"]
    assert nearest("resnet5", names)[0] == "resnet50"
    assert nearest("CATS", names)[0] == "cats_image"


def test_an_unknown_model_is_explained_by_what_is_served() -> None:
    served = {"cats": ("1", "2"), "dogs": ("1",), "dogs_image": ("1",)}
    for model, version, text in (
        ("cats", "", "model 'cats' was not loaded. It is now: try again."),
        ("cats", "2", "model 'cats' was not loaded. It is now: try again."),
        ("cats", "7", "model 'cats' has no version 7. The server at here:1 serves 1, 2."),
        ("cats_image", "", "serves 'cats' without 'cats_image'. Decode the images in the client"),
        ("cat", "", "serves no model 'cat'. It serves cats, dogs."),
    ):
        assert text in str(unknown("here:1", model, version, served))
    assert "`resnet-serve list` shows them" in str(unknown("here:1", "cat", "", None))
    many = {f"model{index}": ("1",) for index in range(30)}
    assert str(unknown("here:1", "x", "", many)).endswith("and 20 more.")


def test_versions_are_numbers() -> None:
    assert max(["9", "10", "latest"], key=number) == "10"
