"""timm's preprocessing: every crop mode as timm computes it, or a refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from library_configs import A1

from resnet_serve.checkpoints import timm_files
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

PATH = Path("models/net/config.json")


def read(config: dict[str, Any]) -> Preprocessing:
    return timm_files.preprocessing({"pretrained_cfg": config}, PATH)


def test_it_is_read_as_timm_reads_it() -> None:
    assert timm_files.preprocessing(A1, PATH) == Preprocessing(
        resize=235,  # ⌊224 / 0.95⌋
        crop=(224, 224),
        interpolation="bicubic",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


def test_a_default_cfg_needs_no_wrapper() -> None:
    assert timm_files.preprocessing(A1["pretrained_cfg"], PATH).resize == 235


def test_what_timm_leaves_out_has_timm_s_defaults() -> None:
    assert read({"mean": [0.5, 0.5, 0.5], "crop_pct": None}) == Preprocessing(
        resize=256, interpolation="bicubic", mean=(0.5, 0.5, 0.5)
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"input_size": [3, 96, 128], "crop_pct": 1.0, "crop_mode": "squash"},
            Preprocessing((96, 128), (96, 128), "bicubic"),
        ),
        (
            {"input_size": [3, 96, 128], "crop_pct": 0.5, "crop_mode": "squash"},
            Preprocessing((192, 256), (96, 128), "bicubic"),
        ),
        (
            {"crop_pct": 1.0, "crop_mode": "border", "mean": [0.5, 0.25, 0], "std": [1, 1, 1]},
            Preprocessing(
                224,
                interpolation="bicubic",
                resize_mode="longest",
                mean=(0.5, 0.25, 0),
                std=(1, 1, 1),
                fill=(128, 64, 0),
            ),
        ),
        (
            {"input_size": [1, 28, 28], "mean": [0.5], "std": [0.25], "crop_pct": 1.0},
            Preprocessing(28, (28, 28), "bicubic", mean=(0.5,), std=(0.25,)),
        ),
        (
            {"mean": [0.5], "std": 0.25},
            Preprocessing(interpolation="bicubic", mean=(0.5,) * 3, std=(0.25,) * 3),
        ),
    ],
    ids=["squash", "squash and crop", "border", "grey", "one number for all channels"],
)
def test_crop_modes_and_channels(config: dict[str, Any], expected: Preprocessing) -> None:
    assert read(config) == expected


def test_the_test_size_is_not_that_of_inference() -> None:
    """`create_transform(**resolve_model_data_config(model))` has `input_size`, as we do."""
    size = {"input_size": [3, 160, 160], "test_input_size": [3, 288, 288], "test_crop_pct": 1.0}
    assert read(size).crop == (160, 160)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"crop_mode": "corner"}, "the crop_mode 'corner' is not supported here"),
        ({"input_size": [3, 96, 128]}, "'center' of 96 × 128 is not supported"),
        ({"input_size": [3, 96, 128], "crop_mode": "border"}, "'border' of 96 × 128"),
        ({"input_size": [224, 224]}, "input_size must be [channels, height, width]"),
        ({"input_size": [3, 0, 0]}, "input_size must be"),
        ({"input_size": [4, 64, 64], "mean": [0.5], "std": [0.5]}, "a --module that makes them"),
        ({"crop_pct": "0.9"}, "crop_pct '0.9' is not a fraction"),
        ({"crop_pct": 1e-9}, "crop_pct 1e-09 is not a fraction"),
        ({"crop_border_pixels": 8}, "crop_border_pixels 8 is not supported"),
        ({"interpolation": "random"}, "interpolation cannot be used: 'random'"),
        ({"mean": [0.5, 0.5]}, "mean has 2 numbers for 3 channels"),
        ({"mean": "abc"}, "mean cannot be used: 'abc'"),
        ({"mean": [123.675, 116.28, 103.53]}, "not in units of [0, 1]"),
    ],
)
def test_what_has_no_counterpart_is_refused_with_the_file(
    config: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputFileError) as caught:
        read(config)
    assert message in str(caught.value)
    assert caught.value.where == str(PATH)
