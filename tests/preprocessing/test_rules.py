"""A value that would have no effect, or two meanings, is refused with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing

REFUSED = [
    ({"resize": 36, "resize_mode": "exact", "crop": (32, 32)}, "contradicts resize_mode 'exact'"),
    ({"resize": (36, 36), "resize_mode": "shorter"}, "contradicts resize_mode 'shorter'"),
    ({"resize": (36, 36), "resize_mode": "longest"}, "contradicts resize_mode 'longest'"),
    ({"resize": 36, "resize_mode": "none"}, "contradicts resize_mode 'none'"),
    ({"resize": None, "resize_mode": "shorter"}, "resize null contradicts"),
    ({"resize": None, "resize_mode": "exact"}, "resize null contradicts"),
    ({"resize": True}, "whole numbers of pixels"),
    ({"resize": (1, 2, 3)}, "whole numbers of pixels"),
    ({"resize": 10**9}, "more than 64,000,000 pixels"),
    ({"resize": (8000, 8001)}, "more than 64,000,000 pixels"),
    ({"crop": 224}, "height and width"),
    ({"crop": (224,)}, "height and width"),
    ({"crop": (10**6, 10**6)}, "more than 64,000,000 pixels"),
    ({"resize_mode": "longer"}, "Use one of shorter, longest, exact, none"),
    ({"interpolation": "cubic"}, "Use one of nearest, box, bilinear"),
    ({"channel_order": "brg"}, "Use one of rgb, bgr"),
    ({"channel_order": "bgr", "mean": (0.5,), "std": (0.5,)}, "no effect on grey images"),
    ({"antialias": 0}, "true or false"),
    ({"antialias": False, "interpolation": "bicubic"}, "for 'bilinear' only"),
    ({"antialias": False, "resize": None}, "no effect without a resize"),
    ({"fill": 3}, "the resized image always covers the crop"),
    ({"fill": 3, "resize": (32, 40), "crop": (32, 32)}, "always covers the crop"),
    ({"fill": 256, "resize": None}, "from 0 to 255"),
    ({"fill": -1, "resize": None}, "from 0 to 255"),
    ({"fill": (1, 2), "resize": None}, "2 numbers for images of 3 channels"),
    ({"fill": (9,), "resize": None}, "1 numbers for images of 3 channels"),
    ({"mean": (0.4,) * 4, "std": (0.2,) * 4}, "a --module that makes them"),
    ({"mean": (0.4,) * 6, "std": (0.2,) * 6}, "a --module that makes them"),
    ({"mean": (0.4,), "std": (0.2,) * 3}, "not 1 and 3"),
    ({"mean": ("a", 0, 0)}, "must be numbers"),
    ({"mean": (float("nan"), 0, 0)}, "must be finite"),
    ({"std": (0, 1, 1)}, "std above 0"),
    ({"mean": (123.675, 116.28, 103.53)}, "not in units of [0, 1]: the largest is 123.675"),
    ({"mean": (0, 0, 0), "std": (255, 255, 255)}, "not in units of [0, 1]: the largest is 255"),
    ({"mean": (-123.0, 0, 0)}, "not in units of [0, 1]: the largest is 123"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=[str(each[0]) for each in REFUSED])
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputFileError) as caught:
        Preprocessing(**fields)
    assert message in str(caught.value)
    assert caught.value.where == "preprocessing"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ({"resize": 36}, "shorter"),
        ({"resize": (36, 40)}, "exact"),
        ({"resize": None}, "none"),
        ({"resize": 36, "resize_mode": "longest"}, "longest"),
    ],
)
def test_the_mode_follows_from_the_resize(given: dict[str, Any], mode: str) -> None:
    assert Preprocessing(**given).resize_mode == mode


def test_the_shorter_side_of_an_exact_crop_is_the_crop() -> None:
    """As resnet-serve 0.1 wrote it."""
    found = Preprocessing(resize=24, crop=(32, 24), resize_mode="exact")
    assert found == Preprocessing(resize=(32, 24), crop=(32, 24))
