"""Folders of classes: the label that a name stands for, or a refusal that names the nearest."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from resnet_serve.datasets import ImageFolder
from resnet_serve.datasets.class_labels.folders import indices
from resnet_serve.datasets.class_labels.wordnet import synsets
from resnet_serve.errors import InputFileError
from resnet_serve.weights import class_names

FOLDER = Path("validation")
TOP = ("T-shirt/top", "Trouser")


@pytest.mark.parametrize(
    ("folders", "labels"),
    [
        (("cafe\u0301", "the\u0301"), ("caf\u00e9", "th\u00e9")),
        (("caf\u00e9", "th\u00e9"), ("cafe\u0301", "the\u0301")),
        (("T-shirt_top", "Trouser"), TOP),
        (("T-shirt-top", "Trouser"), TOP),
        (("n01440764", "n01443537"), ("tench", "goldfish")),
        (("tench", "n01443537"), ("n01440764", "n01443537")),
        (("a/b".replace("/", "-"), "a_b"), ("a/b", "a_b")),
    ],
)
def test_a_folder_is_matched_to_its_label(folders: list[str], labels: list[str]) -> None:
    assert indices(FOLDER, folders, labels) == [0, 1]


def test_folders_of_imagenet_are_named_by_wordnet_ids(tmp_path: Path) -> None:
    for identifier in ("n01443537", "n15075141"):
        (tmp_path / identifier).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / identifier / "a.png")
    found = ImageFolder.scan(tmp_path, class_names.built_in("imagenet1k"))
    assert found.indices == (1, 999)


@pytest.mark.parametrize("labels", [class_names.built_in("imagenet1k"), synsets()])
def test_folders_of_imagenet_may_have_long_names(labels: list[str]) -> None:
    names = ["tench, Tinca tinca", "toilet tissue, toilet paper, bathroom tissue", "stingray"]
    assert indices(FOLDER, names, labels) == [0, 999, 6]
    assert indices(FOLDER, ["tench", "toilet tissue"], labels) == [0, 999]
    with pytest.raises(InputFileError, match="'crane' stands for 2 classes") as caught:
        indices(FOLDER, [*names, "crane"], labels)
    (bird, machine) = re.findall(r"n\d{8}", str(caught.value.remedy))
    assert indices(FOLDER, [*names, bird, machine], labels) == [0, 999, 6, 134, 517]


@given(
    st.lists(
        st.text(st.characters(categories=("L", "M")), min_size=1),
        unique_by=lambda name: unicodedata.normalize("NFC", name),
    )
)
def test_normal_forms_of_any_names_match(names: list[str]) -> None:
    decomposed = [unicodedata.normalize("NFD", name) for name in names]
    composed = [unicodedata.normalize("NFC", name) for name in names]
    assert indices(FOLDER, decomposed, composed) == indices(FOLDER, composed, decomposed)
    assert indices(FOLDER, decomposed, composed) == list(range(len(names)))


@pytest.mark.parametrize(
    ("folders", "labels", "message"),
    [
        (["a_b"], ["a/b", "a/b"], "the label 'a/b' stands for more than one class"),
        (["cat"], ["cat", "cat"], "the label 'cat' stands for more than one class"),
        (["a_b_c"], ["a/b_c", "a_b/c"], "may stand for the labels 'a/b_c' and 'a_b/c'"),
        (["a-b", "a_b"], ["a/b"], "'a-b' and 'a_b' both stand for the label 'a/b'"),
        (["n01440764", "tench"], ["tench"], "both stand for the label 'tench'"),
        (["cafe\u0301", "caf\u00e9"], ["caf\u00e9"], "both stand for the label"),
        (
            ["n01440764"],
            ["cat"],
            r"is the WordNet id of 'tench'.*Name the folders as the labels \('cat'\)",
        ),
        (["crw"], ["crow", "dog"], "2 labels; near it: 'crow'. Name the folders as the labels"),
        (
            ["cow"],
            ["cat", "dog"],
            r"'cow' is not .* 2 labels. Name the folders as the labels \('cat', 'dog'\), and",
        ),
        (["cow"], [str(n) * 2 for n in range(21)], "Name the folders as the labels, and move"),
    ],
)
def test_what_is_not_certain_is_refused(
    folders: list[str], labels: list[str], message: str
) -> None:
    with pytest.raises(InputFileError, match=message):
        indices(FOLDER, folders, labels)


def test_folders_of_classes_without_names_are_refused_and_the_remedy_works(tmp_path: Path) -> None:
    folders, unnamed = ["dog", "Cat", "emu"], [f"class {index}" for index in range(3)]
    with pytest.raises(InputFileError, match="nothing names the model's 3 classes") as caught:
        indices(FOLDER, folders, unnamed)
    said = re.search(r"--labels with a file of the 3 names.*(\[.*\])\.", str(caught.value.remedy))
    assert said is not None
    labels = tmp_path / "labels.json"
    labels.write_text(said[1], encoding="utf-8")
    assert indices(FOLDER, folders, class_names.resolve(labels)) == [1, 0, 2]


def test_more_folders_than_classes_without_names_are_counted() -> None:
    unnamed = ["class 0", "class 1"]
    with pytest.raises(InputFileError, match="3 class folders for a network of 2 classes"):
        indices(FOLDER, ["ant", "cat", "dog"], unnamed)
    assert indices(FOLDER, ["1", "0"], unnamed) == [1, 0]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Cat", "cat"),
        ("great_white_shark", "great white shark"),
        ("t-shirt_top", "T-shirt/top"),
        ("STRASSE", "Straße"),
    ],
)
def test_the_near_match_is_named_and_renaming_works(tmp_path: Path, name: str, label: str) -> None:
    (tmp_path / name).mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / name / "a.png")
    with pytest.raises(InputFileError, match=re.escape(f"but {label!r} is")) as caught:
        ImageFolder.scan(tmp_path, ["dog", label])
    target = re.fullmatch(r"Rename the folder to '(.*)'\.", str(caught.value.remedy))
    assert target is not None
    os.rename(tmp_path / name, tmp_path / target[1])
    assert ImageFolder.scan(tmp_path, ["dog", label]).indices == (1,)


def test_a_folder_around_the_classes_is_named_and_the_remedy_works(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "val" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "val" / name / "a.png")
    with pytest.raises(InputFileError, match="but its folders are") as caught:
        ImageFolder.scan(tmp_path, ["cat", "dog"])
    inside = re.fullmatch(r"Give (.*) as the folder of images\.", str(caught.value.remedy))
    assert inside is not None
    assert ImageFolder.scan(Path(inside[1]), ["cat", "dog"]).indices == (0, 1)
