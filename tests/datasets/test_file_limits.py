"""The limits of the network's preprocessing hold for every kind of set that reads files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hostile_images import encoded, photo

from resnet_serve.datasets import open_images, survey
from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.file_limits import limited, limits_of
from resnet_serve.datasets.image_labels import open_labelled
from resnet_serve.datasets.images import Images
from resnet_serve.datasets.selection import Selection
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import ImageError, Limits

SMALL = Limits(max_pixels=100)


@pytest.fixture(params=["folder", "labels", "selection"])
def images(tmp_path: Path, request: pytest.FixtureRequest) -> Images:
    (tmp_path / "a.png").write_bytes(encoded(photo(), "PNG"))
    if request.param == "labels":
        path = tmp_path / "image_labels.json"
        path.write_text(json.dumps({"a.png": ["cat"]}))
        return open_labelled(path, ("cat",))
    found = open_images(str(tmp_path), None, split="validation")
    return found if request.param == "folder" else Selection(found, (0,))


def test_files_are_decoded_and_surveyed_within_them(images: Images) -> None:
    assert limits_of(images) == Limits()
    assert images.image(0).size == photo().size
    assert survey.notices(images) is not None
    within = limited(images, SMALL)
    assert limits_of(within) == SMALL
    assert within.digest() == images.digest()
    with pytest.raises(ImageError, match="more than the 100 allowed"):
        within.image(0)
    with pytest.raises(InputFileError, match="more than the 100 allowed"):
        survey.notices(within)


def test_a_set_without_files_stays_as_it_is() -> None:
    digits = Digits(held_out=True)
    assert limited(digits, SMALL) is digits
    assert limits_of(digits) == Limits()
