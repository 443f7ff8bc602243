"""Preprocessing in plain values of a checkpoint, as libraries and training scripts write them."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resnet_serve.checkpoints import statements
from resnet_serve.checkpoints.transforms import stated
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing

FILE = Path("net.pth")
USUAL = Preprocessing()
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
HALVED = replace(USUAL, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
TIMM = {"input_size": (3, 240, 240), "crop_pct": 0.95, "interpolation": "bicubic", **HALF}
OF_TIMM = replace(HALVED, resize=252, crop=(240, 240), interpolation="bicubic")
PRINTED = """Compose(
    Resize(size=256, interpolation=bilinear, max_size=None, antialias=True)
    CenterCrop(size=(224, 224))
    ToTensor()
    Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
)"""
CONFIG = """
data_preprocessor = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5], to_rgb=True)
test_pipeline = [dict(type='ResizeEdge', scale=256, backend='pillow'),
                 dict(type='CenterCrop', crop_size=224)]
"""


def found(loaded: object, metadata: dict[str, str] | None = None) -> stated.Found | None:
    said = statements.of(loaded, metadata or {}).preprocessing
    return stated.first(said, FILE, USUAL)


WHOLE: list[tuple[Any, str, Preprocessing]] = [
    ({"pretrained_cfg": TIMM}, "pretrained_cfg", OF_TIMM),
    ({"model": {}, "default_cfg": TIMM}, "default_cfg", OF_TIMM),
    ({"args": {"data_config": TIMM}}, "args.data_config", OF_TIMM),
    ({"val_transform": PRINTED}, "val_transform", USUAL),
    ({"hyper_parameters": {"transforms": PRINTED}}, "hyper_parameters.transforms", USUAL),
    (
        {"preprocessing": {"resize": 40, "crop": 32, **HALF}},
        "preprocessing",
        replace(HALVED, resize=40, crop=(32, 32)),
    ),
    (
        {"args": Namespace(val_resize_size=232, val_crop_size=224, interpolation="bilinear")},
        "args.val_resize_size",
        replace(USUAL, resize=232),
    ),
    (
        {"image_processor": {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3}},
        "image_processor",
        replace(HALVED, resize=(32, 32), crop=(32, 32), resize_mode="exact"),
    ),
    ({"meta": {"cfg": CONFIG}}, "meta.cfg", HALVED),
]
PARTS: list[tuple[Any, str, Preprocessing]] = [
    ({"mean": [0.5] * 3, "std": [0.5] * 3}, "mean/std", HALVED),
    (
        {"args": Namespace(mean=None, std=None, img_size=192, crop_pct=0.96)},
        "args.img_size/crop_pct",
        replace(USUAL, resize=200, crop=(192, 192)),
    ),
    (
        {"config": {"data": {"mean": [127.5] * 3, "std": [127.5] * 3, "image_size": 112}}},
        "config.data.mean/std/image_size",
        replace(HALVED, resize=128, crop=(112, 112)),
    ),
    (
        {"data_preprocessor": {"mean": [127.5] * 3, "std": [127.5] * 3, "to_rgb": True}},
        "data_preprocessor",
        HALVED,
    ),
]


@pytest.mark.parametrize(("loaded", "field", "wanted"), WHOLE)
def test_a_whole_preprocessing_is_read(loaded: Any, field: str, wanted: Preprocessing) -> None:
    read = found(loaded)
    assert read is not None
    assert (read.field, read.preprocessing, read.whole) == (field, wanted, True)


@pytest.mark.parametrize(("loaded", "field", "wanted"), PARTS)
def test_parts_are_taken_over_what_is_usual(loaded: Any, field: str, wanted: Preprocessing) -> None:
    read = found(loaded)
    assert read is not None
    assert (read.field, read.preprocessing, read.whole) == (field, wanted, False)


def test_the_metadata_of_a_safetensors_file_counts() -> None:
    read = found({}, {"mean": "[0.5, 0.5, 0.5]", "std": "[0.5, 0.5, 0.5]", "format": "pt"})
    assert read is not None
    assert read.preprocessing.mean == (0.5, 0.5, 0.5)


def test_two_fields_that_differ_are_said_and_the_first_is_used() -> None:
    read = found({"pretrained_cfg": TIMM, "val_transform": PRINTED})
    assert read is not None
    assert read.field == "pretrained_cfg"
    (notice,) = read.notices
    assert notice.startswith("pretrained_cfg is used; val_transform of net.pth says resize 256,")


@pytest.mark.parametrize(
    ("loaded", "message"),
    [
        ({"pretrained_cfg": {**TIMM, "crop_pct": 20}}, "its pretrained_cfg cannot be used"),
        ({"transform": "Compose(\n RandomCrop(size=32)\n ToTensor()\n)"}, "step of training"),
        ({"mean": [0.0] * 3, "std": [0.0] * 3}, "its mean/std cannot be used"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_field(loaded: Any, message: str) -> None:
    with pytest.raises(InputFileError, match=message) as caught:
        found(loaded)
    assert "--preprocessing" in str(caught.value.remedy)


@pytest.mark.parametrize(
    "loaded",
    [
        {},
        {"mean": 0.5, "std": 2},
        {"mean": [0.5] * 3},
        {"args": Namespace(mean=None, std=None, interpolation="", crop_pct=None, img_size=224)},
        {"train_transform": PRINTED},
        {"transform": "flip"},
        {"norm": "batch", "transform": None, "preprocess": {}},
        {"normalize": {"p": 2}},
    ],
)
def test_what_says_nothing_of_the_images(loaded: Any) -> None:
    assert found(loaded) is None
