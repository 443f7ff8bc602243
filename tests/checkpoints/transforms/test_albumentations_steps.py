"""albumentations' steps: OpenCV's bilinear filter and its padding, or a refusal."""

from __future__ import annotations

from typing import Any

import pytest

from resnet_serve.checkpoints.transforms.albumentations_steps import fields
from resnet_serve.checkpoints.transforms.steps import Step
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing


def step(kind: str, **given: Any) -> Step:
    return Step(f"albumentations.augmentations.{kind}", {"p": 1, **given})


RESIZE = step("Resize", height=256, width=256, interpolation=1)
CROP = step("CenterCrop", height=224, width=224)
LONGEST = step("LongestMaxSize", max_size=64, interpolation=1)
NORMALIZE = step("Normalize", mean=[0.5] * 3, std=[0.25] * 3, max_pixel_value=255.0)
HALF = {"mean": (0.5,) * 3, "std": (0.25,) * 3}


def pad(**given: Any) -> Step:
    return step("PadIfNeeded", **{"min_height": 64, "min_width": 64, "border_mode": 0, **given})


def read(*steps: Step, **of_all: Any) -> Preprocessing:
    return Preprocessing.from_json(fields(step("Compose", transforms=list(steps), **of_all)))


def test_the_resize_is_opencv_s() -> None:
    assert read(RESIZE, CROP, NORMALIZE) == Preprocessing((256, 256), antialias=False, **HALF)
    assert read(RESIZE, NORMALIZE).crop == (256, 256)


def test_padding_has_its_colour() -> None:
    found = read(LONGEST, pad(fill=(1, 2, 3)), NORMALIZE)
    assert (found.resize_mode, found.crop, found.fill) == ("longest", (64, 64), (1, 2, 3))


def test_pixels_may_stay_on_their_scale() -> None:
    scale = step("Normalize", mean=[127.5] * 3, std=[63.75] * 3, max_pixel_value=1.0)
    assert read(RESIZE, scale).mean == pytest.approx((0.5,) * 3)
    assert read(RESIZE, scale).std == pytest.approx((0.25,) * 3)


REFUSED = [
    ((step("Resize", height=256, width=256, interpolation=3), NORMALIZE), "OpenCV's filter 3"),
    ((step("SmallestMaxSize", max_size=256), CROP, NORMALIZE), "has no equivalent"),
    ((step("ToGray"), RESIZE, NORMALIZE), "has no equivalent"),
    ((step("HorizontalFlip", p=0.5), RESIZE, NORMALIZE), "at random"),
    ((RESIZE, RESIZE, NORMALIZE), "comes after a resize"),
    ((CROP, RESIZE, NORMALIZE), "comes after the crop"),
    ((NORMALIZE, RESIZE), "comes after Normalize"),
    ((RESIZE, CROP), "there is no Normalize"),
    ((CROP, NORMALIZE), "a crop without a resize"),
    ((LONGEST, NORMALIZE), "does not bring images to one size"),
    ((RESIZE, step("CenterCrop", height=223, width=224), NORMALIZE), "half a pixel"),
    ((LONGEST, pad(border_mode=4), NORMALIZE), "does not pad all around with one colour"),
    ((LONGEST, pad(position="top_left"), NORMALIZE), "does not pad all around"),
    ((LONGEST, pad(min_height=32), NORMALIZE), "of its size only"),
    ((RESIZE, step("Normalize", normalization="image")), "with 'image'"),
]


@pytest.mark.parametrize(("steps", "message"), REFUSED)
def test_what_has_no_equivalent_is_refused(steps: tuple[Step, ...], message: str) -> None:
    with pytest.raises(InputFileError, match=message) as caught:
        read(*steps)
    assert "--preprocessing FILE" in str(caught.value)


def test_a_compose_that_is_applied_at_random_is_refused() -> None:
    with pytest.raises(InputFileError, match="Compose is applied at random"):
        read(RESIZE, NORMALIZE, p=0.5)
