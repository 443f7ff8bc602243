"""Folders whose images have any number of labels: what is listed is read, or refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_serve.datasets.image_labels import label_file, open_labelled, read
from resnet_serve.errors import InputFileError

LABELS = ("cat", "a/b", "dog")
JSON = '{"b.png": ["dog", "cat"], "sub/a.png": []}'
CSV = "image,dog,cat,a/b\nb.png,1,1,0\nsub/a.png, 0,0,0\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("b.png", "sub/a.png", "other.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "content"), [("image_labels.json", JSON), ("image_labels.csv", CSV)]
)
def test_the_listed_images_have_the_listed_labels(folder: Path, name: str, content: str) -> None:
    assert label_file(folder) is None
    path = folder / name
    path.write_text(content)
    assert label_file(folder) == path
    found = open_labelled(path, LABELS)
    assert [found.name_of(index) for index in range(len(found))] == [
        str(folder / "b.png"),
        str(folder / "sub/a.png"),
    ]
    np.testing.assert_array_equal(found.labels, [[1, 0, 1], [0, 0, 0]])
    assert found.skipped == (folder / "other.png",)
    assert found.image(1).size == (4, 4)
    assert len(found.digest()) == 64


def test_the_negative_of_one_output_may_be_listed(folder: Path) -> None:
    path = folder / "image_labels.json"
    path.write_text('{"b.png": ["dog"], "sub/a.png": ["cat"]}')
    found = open_labelled(path, ("dog",), negative="cat")
    np.testing.assert_array_equal(found.labels, [[1], [0]])
    with pytest.raises(InputFileError, match="the label 'cat', which is none"):
        open_labelled(path, ("dog",))


def test_names_match_in_either_unicode_form(folder: Path) -> None:
    (folder / "b.png").rename(folder / "the\u0301.png")
    path = folder / "image_labels.json"
    path.write_text('{"th\u00e9.png": ["cafe\u0301"]}', encoding="utf-8")
    found = open_labelled(path, ("dog", "caf\u00e9"))
    np.testing.assert_array_equal(found.labels, [[0, 1]])
    assert found.image(0).size == (4, 4)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("image_labels.json", '{"b.png": ["cow"]}', "b.png has the label 'cow'"),
        (
            "image_labels.json",
            '{"b.png": ["Dog"]}',
            "none of the network's 3 labels; near it: 'dog'",
        ),
        ("image_labels.json", '{"b.png": [], "b.png": ["dog"]}', "lists b.png twice"),
        ("image_labels.json", '{"../b.png": []}', "not below its own folder"),
        ("image_labels.json", '{"/b.png": []}', "not below its own folder"),
        ("image_labels.json", r'{"sub\\a.png": []}', "Write sub/a.png"),
        ("image_labels.csv", "image,dog,dog\nb.png,1,0\n", "two columns of one name"),
        ("image_labels.json", '{"c.png": ["dog"]}', "lists c.png, which is not there"),
        ("image_labels.json", '{"b.png": "dog"}', "not an object of label lists"),
        ("image_labels.json", "[]", "not an object of label lists"),
        ("image_labels.json", "{}", "lists no images"),
        ("image_labels.json", "b.png", "not valid JSON"),
        ("image_labels.csv", "b.png,dog\n", "does not begin with the columns"),
        ("image_labels.csv", "", "does not begin with the columns"),
        ("image_labels.csv", "image,dog\nb.png,dog\n", "line 2 is not an image and 1 times"),
        ("image_labels.csv", "image,dog\nb.png\n", "line 2 is not an image"),
        ("image_labels.csv", "image,dog\nb.png,1\nb.png,0\n", "lists b.png twice"),
    ],
)
def test_what_cannot_be_used_is_refused(
    folder: Path, name: str, content: str, message: str
) -> None:
    path = folder / name
    path.write_text(content)
    with pytest.raises(InputFileError, match=message):
        open_labelled(path, LABELS)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image_labels.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputFileError, match="cannot be read"):
        read(path)
