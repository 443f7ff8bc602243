"""The built-in class names, and what classes are called when nobody says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_serve.errors import InputFileError
from resnet_serve.weights import class_names


@pytest.mark.parametrize(
    ("name", "count", "known"),
    [
        (
            "imagenet1k",
            1000,
            {
                0: "tench",
                134: "crane bird",
                207: "golden retriever",
                281: "tabby",
                517: "crane",
                638: "maillot",
                639: "maillot tank suit",
                999: "toilet tissue",
            },
        ),
        ("cifar10", 10, {0: "airplane", 1: "automobile", 5: "dog", 9: "truck"}),
        (
            "cifar100",
            100,
            {0: "apple", 1: "aquarium fish", 39: "keyboard", 60: "plain", 81: "streetcar",
             94: "wardrobe", 99: "worm"},
        ),
    ],
)  # fmt: skip
def test_the_built_in_names(name: str, count: int, known: dict[int, str]) -> None:
    labels = class_names.resolve(name)
    assert len(labels) == len(set(labels)) == count
    assert all(label == label.strip() and label for label in labels)
    assert {index: labels[index] for index in known} == known


def test_cifar_100_is_in_the_alphabetical_order_of_its_meta_file() -> None:
    underscored = [name.replace(" ", "_") for name in class_names.built_in("cifar100")]
    assert underscored == sorted(underscored)
    cifar10 = class_names.built_in("cifar10")
    assert list(cifar10) == sorted(cifar10)


def test_every_file_of_names_is_offered() -> None:
    folder = Path(class_names.__file__).parents[1] / "labels"
    assert {path.stem for path in folder.glob("*.txt")} == set(class_names.BUILT_IN)


def test_anything_else_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cifar10").write_text("mine\nyours\n")
    assert class_names.resolve("./cifar10") == ("mine", "yours")
    assert len(class_names.resolve("cifar10")) == 10
    with pytest.raises(InputFileError, match="cannot be read"):
        class_names.resolve("cifar1000")


def test_a_thousand_classes_are_imagenet_s_and_others_are_numbered() -> None:
    assert class_names.default(1000) == class_names.built_in("imagenet1k")
    assert class_names.default(2) == ("class 0", "class 1")
    assert class_names.default(10)[9] == "class 9"


def test_names_that_classes_share_are_said() -> None:
    assert class_names.repeated(("cat", "dog")) == ()
    assert class_names.repeated(("crane", "dog", "crane")) == (
        "several classes share a name: 'crane' (2)",
    )
    shared = ("cafe\u0301", "caf\u00e9", "a", "a")
    assert class_names.repeated(shared)[0].endswith("'caf\u00e9' (2), 'a' (2)")
