"""transformers' image processors: every field has its effect, or is refused with a remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from library_configs import CONVNEXT, VIT, written
from noise_images import noise

from resnet_serve.checkpoints.preprocessing_files import override
from resnet_serve.checkpoints.transforms import image_processors
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing

PATH = Path("models/net/preprocessor_config.json")
HALF = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
BIT = {
    "image_processor_type": "BitImageProcessor",
    "size": {"shortest_edge": 232},
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "resample": 2,
}
MOBILE_VIT = {
    "image_processor_type": "MobileViTImageProcessor",
    "size": {"shortest_edge": 288},
    "do_center_crop": True,
    "crop_size": {"height": 256, "width": 256},
    "do_flip_channel_order": True,
}
EFFICIENT_NET = {
    "image_processor_type": "EfficientNetImageProcessor",
    "size": {"height": 64, "width": 64},
    "resample": 0,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}


def read(data: dict[str, Any]) -> Preprocessing:
    return image_processors.preprocessing(data, PATH)


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (
            {**CONVNEXT, "size": {"shortest_edge": 384}},
            Preprocessing((384, 384), (384, 384), "bicubic"),
        ),
        (
            {**CONVNEXT, "crop_pct": None, "size": {"shortest_edge": 160}, "resample": 2},
            Preprocessing(resize=182, crop=(160, 160)),
        ),
        (VIT, Preprocessing((96, 128), (96, 128), **HALF)),
        (
            {**VIT, "size": 64, "image_mean": None, "image_std": None},
            Preprocessing((64, 64), (64, 64), **HALF),
        ),
        ({**VIT, "image_mean": 0.5, "image_std": 0.5}, Preprocessing((96, 128), (96, 128), **HALF)),
        (
            {**BIT, "do_normalize": False, "rescale_factor": 0.00392156862745098},
            Preprocessing(resize=232, mean=(0, 0, 0), std=(1, 1, 1)),
        ),
        (
            {**BIT, "size": {"height": 256, "width": 240}, "image_mean": [0.5] * 3}
            | {"image_std": [0.5] * 3},
            Preprocessing((256, 240), **HALF),
        ),
        (
            {**VIT, "do_resize": False, "do_center_crop": True, "crop_size": 64},
            Preprocessing(None, (64, 64), **HALF),
        ),
        (
            MOBILE_VIT,
            Preprocessing(288, (256, 256), mean=(0, 0, 0), std=(1, 1, 1), channel_order="bgr"),
        ),
    ],
    ids=["warped", "ConvNext", "ViT", "one size", "one mean", "BiT", "BiT exact", "crop", "BGR"],
)
def test_they_are_read_as_transformers_reads_them(
    processor: dict[str, Any], expected: Preprocessing
) -> None:
    assert read(processor) == expected


def numbers(data: dict[str, Any], pixels: np.ndarray) -> np.ndarray:
    """What transformers computes of pixels: `rescale`, `normalize` and EfficientNet's second."""
    x = pixels.astype(np.float64)
    if data.get("do_rescale", True):
        x = x * data.get("rescale_factor", 1 / 255) - bool(data.get("rescale_offset"))
    if data.get("do_normalize", True):
        x = (x - data["image_mean"]) / data["image_std"]
    if data.get("include_top", "EfficientNet" in data["image_processor_type"]):
        x = x / data["image_std"]
    return np.moveaxis(x, -1, 0)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"include_top": False},
        {"rescale_factor": 1 / 127.5, "rescale_offset": True},
        {"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False},
        {"do_rescale": False, "image_mean": [123.7, 116.3, 103.5], "image_std": [58.4, 57.1, 57.4]}
        | {"include_top": False},
        {"do_rescale": False, "do_normalize": False, "include_top": False},
        {"rescale_factor": 1 / 128},
    ],
    ids=str,
)
def test_all_of_the_arithmetic_is_in_mean_and_std(change: dict[str, Any]) -> None:
    data = EFFICIENT_NET | change
    image = noise(64, 64)
    how = read(data)
    pixels = how.pixels(image)
    np.testing.assert_array_equal(pixels, np.asarray(image))
    expected = numbers(data, pixels)
    np.testing.assert_allclose(
        how.normalize(pixels), expected, atol=1e-6 * np.abs(expected).max() + 1e-6
    )


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (CONVNEXT | {"do_resize": False}, "neither resizes nor crops"),
        (CONVNEXT | {"rescale_factor": "1/255"}, "has no rescale_factor"),
        (CONVNEXT | {"rescale_factor": 0}, "has no rescale_factor"),
        (CONVNEXT | {"size": {"longest_edge": 224}}, "has no shortest_edge in pixels"),
        (CONVNEXT | {"size": True}, "has no shortest_edge in pixels"),
        (CONVNEXT | {"crop_pct": 0.01}, "crop_pct 0.01 is not a fraction"),
        (CONVNEXT | {"crop_pct": [1]}, "crop_pct [1] is not a fraction"),
        (CONVNEXT | {"resample": 99}, "interpolation cannot be used: '99'"),
        (CONVNEXT | {"resample": [3]}, "interpolation cannot be used: '[3]'"),
        (CONVNEXT | {"image_mean": [0.5]}, "not of as many channels"),
        (CONVNEXT | {"image_mean": [True] * 3}, "image_mean is not a list of numbers"),
        (VIT | {"size": {"shortest_edge": 96}}, "does not bring images to one size"),
        (VIT | {"size": {"longest_edge": 96}}, "does not bring images to one size"),
        (VIT | {"do_center_crop": True, "crop_size": 128}, "pads images"),
        (VIT | {"size": {"shortest_edge": 64}} | BIT | {"crop_size": 300}, "pads images"),
        (VIT | {"do_pad": True}, "has 'do_pad': True, which has no equivalent here"),
        (VIT | {"do_grayscale": True}, "has 'do_grayscale': True"),
        (VIT | {"size_divisor": 32}, "has 'size_divisor': 32"),
        (VIT | {"do_resize": "yes"}, "do_resize is 'yes', not true or false"),
        (VIT | {"do_flip_channel_order": 1}, "do_flip_channel_order is 1, not true or false"),
        (
            CONVNEXT | {"do_flip_channel_order": True},
            "normalises and flips the channels, whose order is not known",
        ),
    ],
)
def test_a_processor_without_counterpart_is_refused_with_the_file(
    processor: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputFileError) as caught:
        read(processor)
    assert message in str(caught.value)
    assert caught.value.where == str(PATH)


def test_a_step_that_is_off_is_no_step() -> None:
    assert read(VIT | {"do_pad": False, "do_grayscale": None, "do_thumbnail": False}) == read(VIT)


def test_the_remedy_for_a_filter_that_is_not_named_works() -> None:
    without = {key: value for key, value in EFFICIENT_NET.items() if key != "resample"}
    with pytest.raises(InputFileError, match='Add "resample": 0') as caught:
        read(without)
    added = json.loads("{" + str(caught.value.remedy).split("Add ")[1].split(" (")[0] + "}")
    assert read(without | added).interpolation == "nearest"


def test_the_remedy_in_our_fields_works(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="Give --preprocessing FILE with resize and crop"):
        read(VIT | {"do_pad": True})
    own = written(tmp_path, {"resize": [96, 128], "crop": [96, 128], "mean": [0.5] * 3}, "own.json")
    assert override(own, Preprocessing()).crop == (96, 128)


@pytest.mark.parametrize("key", ["do_rescale", "do_normalize", "image_mean"])
def test_a_processor_without_a_name_is_recognised(key: str) -> None:
    assert image_processors.is_processor({key: True})
    assert not image_processors.is_processor({"mean": [0.5] * 3, "resize": 3})
