"""The limits of an image file: their values, and the two that need nothing but its size."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hostile_images import encoded, photo

from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import ImageError, Limits, Preprocessing, decode, orientation_in

FIELDS = [each.name for each in fields(Limits)]


@pytest.mark.parametrize("name", FIELDS)
def test_each_is_a_field_of_a_preprocessing(name: str) -> None:
    given = Preprocessing.from_json({"limits": {name: 50}})
    assert given.limits == Limits(**{name: 50})
    assert Preprocessing.from_json(given.to_json()) == given
    assert Preprocessing.from_json({"resize": 300}, given).limits == given.limits
    assert Preprocessing.from_json({"limits": {}}, given) == given


def test_an_older_preprocessing_has_the_defaults() -> None:
    assert Preprocessing.from_json('{"resize": 256, "crop": [224, 224]}').limits == Limits()


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [0, -1, "9", None, True, float("nan"), float("inf"), [1]])
def test_what_is_no_limit_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InputFileError, match=name):
        Limits(**{name: value})
    with pytest.raises(InputFileError, match=f"limits.{name}"):
        Preprocessing.from_json({"limits": {name: value}})


@pytest.mark.parametrize("value", [{"max_frames": 1}, 3, None, []])
def test_what_are_no_limits_is_refused(value: object) -> None:
    with pytest.raises(InputFileError, match="limits") as caught:
        Preprocessing.from_json({"limits": value})
    assert caught.value.remedy


def test_a_shape_is_refused_beyond_its_ratio() -> None:
    for size in ((1, 200), (200, 1)):
        assert decode(encoded(photo(*size), "PNG")).size == size
    for size in ((1, 201), (201, 1)):
        with pytest.raises(ImageError, match="more than 200 times the shorter"):
            decode(encoded(photo(*size), "PNG"))
    assert decode(encoded(photo(1, 201), "PNG"), Limits(max_aspect_ratio=201)).height == 201


def test_a_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ImageError, match=f"{path}: a file of 1,099,511,627,776 bytes is larger"):
        decode(path)
    data = encoded(photo(), "PNG")
    assert decode(data, Limits(max_file_bytes=len(data))).size == photo().size
    for read in (decode, orientation_in):
        with pytest.raises(ImageError, match="is larger than the"):
            read(data, Limits(max_file_bytes=len(data) - 1))
