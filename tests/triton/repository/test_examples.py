"""The example images of a version: written, read, and refused where the file is none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from resnet_serve.errors import InputFileError
from resnet_serve.triton.repository import examples
from resnet_serve.triton.repository.examples import Examples

MADE = Examples(
    source="digits",
    names=("one.png", "two.png", "empty"),
    images=(b"first file", b"the second", b""),
    expected={"logits": np.arange(6, dtype=np.float32).reshape(3, 2)},
    labels=np.array([1, 2, 0]),
)


@pytest.mark.parametrize("labels", [MADE.labels, None])
def test_what_is_written_is_read(tmp_path: Path, labels: np.ndarray | None) -> None:
    made = dataclasses.replace(MADE, labels=labels)
    (tmp_path / examples.FILE_NAME).write_bytes(made.to_bytes())
    found = examples.read(tmp_path, ["logits"])
    assert found is not None
    assert (found.source, found.names, found.images) == (made.source, made.names, made.images)
    np.testing.assert_array_equal(found.expected["logits"], made.expected["logits"])
    assert (found.labels is None) == (labels is None)
    assert len(found) == 3


def test_a_version_may_have_none(tmp_path: Path) -> None:
    assert examples.read(tmp_path, ["logits"]) is None


@pytest.mark.parametrize("data", [b"", b"no archive", MADE.to_bytes()[:200]])
def test_a_file_that_is_none_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / examples.FILE_NAME).write_bytes(data)
    with pytest.raises(InputFileError, match="does not hold example images"):
        examples.read(tmp_path, ["logits"])


def test_an_output_for_each_image_is_needed(tmp_path: Path) -> None:
    (tmp_path / examples.FILE_NAME).write_bytes(MADE.to_bytes())
    with pytest.raises(InputFileError):
        examples.read(tmp_path, ["features"])
    fewer = dataclasses.replace(MADE, images=MADE.images[:2])
    (tmp_path / examples.FILE_NAME).write_bytes(fewer.to_bytes())
    with pytest.raises(InputFileError, match="for each example image"):
        examples.read(tmp_path, ["logits"])
