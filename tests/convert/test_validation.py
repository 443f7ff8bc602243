"""Validation images with the labels that the head decides about."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_convert.validation import labelling, open_validation
from resnet_serve.activation import SOFTMAX, Activation, Kind
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.weights.activations import Labelling

HALF = Activation(Kind.SIGMOID, (0.5,))
Folder = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def make(*names: str, sets: dict[str, list[str]] | None = None) -> str:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4)).save(path)
        if sets is not None:
            (tmp_path / "image_labels.json").write_text(json.dumps(sets))
        return str(tmp_path)

    return make


def test_how_images_are_labelled_is_seen_before_they_are_opened(folder: Folder) -> None:
    assert labelling(None) == labelling("nowhere") == Labelling()
    assert labelling("digits").folders == tuple("0123456789")
    assert labelling(folder("cat/a.png", "dog/b.png")) == Labelling(folders=("cat", "dog"))
    assert labelling(folder(sets={"cat/a.png": ["x"]})) == Labelling()
    assert labelling(folder(sets={"cat/a.png": ["x"], "dog/b.png": []})) == Labelling(several=True)


def test_folders_of_one_output_are_the_negative_and_the_positive(folder: Folder) -> None:
    source = folder("cat/a.png", "cat/b.png", "ant/c.png")
    for activation in (HALF, Activation(Kind.SIGMOID, (0.5,), "cat")):
        found = open_validation(source, ("ant",), activation)
        np.testing.assert_array_equal(found.labels, [1, 0, 0])
    folder("cow/d.png")
    with pytest.raises(UsageError, match="3 classes, and one output decides between two"):
        open_validation(source, ("ant",), HALF)


def test_folders_of_other_names_are_refused(folder: Folder) -> None:
    with pytest.raises(InputFileError, match="not one of the model's 2 labels"):
        open_validation(folder("cat/a.png", "dog/b.png"), ("ant",), HALF)


def test_images_without_folders_have_no_labels(folder: Folder) -> None:
    assert open_validation(folder("a.png"), ("ant",), HALF).labels is None


def test_sets_of_labels_are_a_row_per_image(folder: Folder) -> None:
    source = folder("a.png", "b.png", sets={"a.png": ["cat", "dog"], "b.png": []})
    found = open_validation(source, ("dog", "cow", "cat"), HALF)
    np.testing.assert_array_equal(found.labels, [[1, 0, 1], [0, 0, 0]])
    with pytest.raises(UsageError, match="a softmax decides for one"):
        open_validation(source, ("dog", "cow", "cat"), SOFTMAX)


def test_a_softmax_takes_one_label_per_image(folder: Folder) -> None:
    source = folder("a.png", "b.png", sets={"a.png": ["cat"], "b.png": ["dog"]})
    found = open_validation(source, ("dog", "cow", "cat"), SOFTMAX)
    np.testing.assert_array_equal(found.labels, [2, 0])
