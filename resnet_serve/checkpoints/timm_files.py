"""timm's `config.json`: architecture, preprocessing and class names of its weights.

timm stores with all weights (`pretrained_cfg`) mean, std, interpolation, the input size and the
fraction of the resized image that the centre crop keeps:

    resize = ⌊input size / crop_pct⌋        (timm/data/transforms_factory.py, crop_mode "center")

Missing fields have timm's defaults (timm/data/config.py): bicubic, 0.875, ImageNet's mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_serve.architectures import ARCHITECTURES
from resnet_serve.checkpoints import json_files
from resnet_serve.checkpoints.json_files import IN_PIXELS
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

_CROP_PCT = 0.875
# Arguments that change shapes, which are checked anyway, or the training alone.
_HARMLESS = {"num_classes", "in_chans", "drop_rate", "drop_path_rate", "drop_block_rate"}


def is_config(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is timm's."""
    return isinstance(config.get("pretrained_cfg"), dict) or "crop_pct" in config


def architecture(config: Mapping[str, Any]) -> str | None:
    """timm's name of the network, without the tag of its weights."""
    name = config.get("architecture")
    return name.partition(".")[0] if isinstance(name, str) else None


def doubts(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Reasons, as text, why the network may compute something else with the same tensors."""
    found = []
    name = architecture(config)
    if name is not None and name not in ARCHITECTURES:
        found.append(f"timm calls it {name!r}, which is not in the family")
    arguments = config.get("model_args")
    if isinstance(arguments, dict):
        found += [f"timm builds it with {name!r}" for name in sorted(arguments.keys() - _HARMLESS)]
    pooling = config.get("global_pool", "avg")
    if pooling != "avg":
        found.append(f"its pooling is {pooling!r}")
    return tuple(found)


def labels(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Its class names, each on one line, or None."""
    names = config.get("label_names")
    return json_files.names_in(names) if isinstance(names, list) else None


def preprocessing(config: Mapping[str, Any], path: Path) -> Preprocessing:
    """The preprocessing of timm's evaluation transform.

    Raises `InputFileError` for a transform that `Preprocessing` cannot express.
    """
    found = config.get("pretrained_cfg", config)
    found = found if isinstance(found, dict) else {}
    mode = found.get("crop_mode") or "center"
    fraction = json_files.fraction_of(found.get("crop_pct") or _CROP_PCT, path)
    size = found.get("input_size") or (3, 224, 224)
    if mode not in ("center", "squash"):
        raise InputFileError(
            f"the crop_mode {mode!r} is not supported here", where=path, remedy=IN_PIXELS
        )
    if (
        not isinstance(size, list | tuple)
        or len(size) != 3
        or not all(type(side) is int and side > 0 for side in size)
    ):
        raise InputFileError("input_size must be [channels, height, width]", where=path)
    _, height, width = size
    # timm resizes both sides for "squash"; for "center" the shorter one, if the crop is square.
    exact = mode == "squash" and fraction == 1
    if (mode == "squash" and not exact) or (mode == "center" and height != width):
        raise InputFileError(
            f"crop_mode {mode!r} of {height} × {width} at {fraction:g} is not supported here",
            where=path,
            remedy=IN_PIXELS,
        )
    return json_files.preprocessing(
        {
            "resize": math.floor(height / fraction),
            "crop": [height, width],
            "interpolation": found.get("interpolation") or "bicubic",
            "resize_mode": "exact" if exact else "shorter",
            "mean": found.get("mean") or IMAGENET_MEAN,
            "std": found.get("std") or IMAGENET_STD,
        },
        path,
    )
