"""torchvision's steps: each has its effect, in its place, or is refused."""

from __future__ import annotations

from typing import Any

import pytest

from resnet_serve.checkpoints.transforms.steps import Step
from resnet_serve.checkpoints.transforms.torchvision_steps import fields, preset
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing


def step(kind: str, **given: Any) -> Step:
    return Step(f"torchvision.transforms.transforms.{kind}", {"training": True, **given})


RESIZE, CROP = step("Resize", size=256), step("CenterCrop", size=[224, 224])
TENSOR = step("ToTensor")
NORMALIZE = step("Normalize", mean=[0.5] * 3, std=[0.25] * 3)


def read(*steps: Step) -> Preprocessing:
    return Preprocessing.from_json(fields(step("Compose", transforms=list(steps))))


def test_no_normalisation_is_none() -> None:
    assert read(RESIZE, CROP, TENSOR) == Preprocessing(mean=(0,) * 3, std=(1,) * 3)


def test_one_number_is_of_all_channels() -> None:
    found = read(RESIZE, CROP, TENSOR, step("Normalize", mean=(0.5,), std=0.25))
    assert (found.mean, found.std) == ((0.5,) * 3, (0.25,) * 3)
    grey = read(step("Grayscale", num_output_channels=1), RESIZE, CROP, TENSOR)
    assert grey.channels == 1


def test_a_compose_in_a_compose_is_its_steps() -> None:
    inner = step("Compose", transforms=[RESIZE, CROP])
    assert read(inner, TENSOR, NORMALIZE) == read(RESIZE, CROP, TENSOR, NORMALIZE)


@pytest.mark.parametrize("antialias", [None, False, "warn", True])
def test_a_pillow_image_is_antialiased_and_a_tensor_where_it_is_told_to(antialias: object) -> None:
    resize = step("Resize", size=256, antialias=antialias)
    assert read(resize, CROP, TENSOR).antialias
    assert read(TENSOR, resize, CROP).antialias is (antialias is True)


REFUSED = [
    ((RESIZE, TENSOR), "does not bring images to one size"),
    ((TENSOR,), "does not bring images to one size"),
    ((CROP, RESIZE, TENSOR), "Resize comes twice, or after CenterCrop"),
    ((RESIZE, RESIZE, CROP, TENSOR), "Resize comes twice"),
    ((RESIZE, CROP, CROP, TENSOR), "CenterCrop comes twice"),
    ((RESIZE, CROP, TENSOR, NORMALIZE, NORMALIZE), "Normalize comes twice"),
    ((RESIZE, CROP), "the scale of its pixels is not known"),
    ((step("Resize", size=256, max_size=300), CROP, TENSOR), "max_size"),
    ((step("Resize", size="256"), CROP, TENSOR), "no size in pixels"),
    ((RESIZE, step("CenterCrop", size=0), TENSOR), "no size in pixels"),
    ((RESIZE, CROP, step("ToDtype", dtype="torch.float16", scale=True)), "to torch.float16"),
    ((step("Grayscale", num_output_channels=3), RESIZE, CROP, TENSOR), "Grayscale has no"),
    ((step("Lambda", lambd=None), RESIZE, CROP, TENSOR), "Lambda has no equivalent"),
    ((step("TenCrop", size=224), TENSOR), "gives several images"),
    ((step("ColorJitter"), RESIZE, CROP, TENSOR), "a step of training"),
    ((RESIZE, CROP, TENSOR, step("Normalize", mean="a", std=[1])), "not a list of numbers"),
    ((step("Compose", transforms=[None]),), "such as a function"),
]


@pytest.mark.parametrize(("steps", "message"), REFUSED)
def test_what_has_no_equivalent_is_refused(steps: tuple[Step, ...], message: str) -> None:
    with pytest.raises(InputFileError, match=message) as caught:
        read(*steps)
    assert "--preprocessing FILE" in str(caught.value)


def test_a_preset_in_json_is_that_of_weights_transforms() -> None:
    data = {"crop_size": [224], "resize_size": [232], "interpolation": "InterpolationMode.BICUBIC"}
    assert Preprocessing.from_json(preset(data)) == Preprocessing(232, interpolation="bicubic")
    with pytest.raises(InputFileError, match="'scale' is not one of torchvision's presets"):
        preset({**data, "scale": 2})
