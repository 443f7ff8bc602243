"""timm's `config.json`: the preprocessing and the class names of its weights.

timm keeps with each of its weights (`pretrained_cfg`) mean, std, interpolation, the input size and
the share of the resized image that the centre crop keeps:

    resize = ⌊input size / crop_pct⌋        (timm/data/transforms_factory.py, crop_mode "center")

What timm leaves out has timm's defaults (timm/data/config.py): bicubic, 0.875, ImageNet's mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_serve.checkpoints import json_files
from resnet_serve.checkpoints.json_files import IN_PIXELS
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

_CROP_PCT = 0.875


def is_config(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is timm's."""
    return isinstance(config.get("pretrained_cfg"), dict) or "crop_pct" in config


def labels(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Its class names, each on one line."""
    names = config.get("label_names")
    if isinstance(names, list) and all(isinstance(name, str) and name.strip() for name in names):
        return tuple(" ".join(name.split()) for name in names)
    return None


def preprocessing(config: Mapping[str, Any], path: Path) -> Preprocessing:
    """What timm's evaluation transform does; raises `InputFileError` where we have no such step."""
    found = config.get("pretrained_cfg", config)
    found = found if isinstance(found, dict) else {}
    mode = found.get("crop_mode") or "center"
    share = json_files.share_of(found.get("crop_pct") or _CROP_PCT, path)
    size = found.get("input_size") or (3, 224, 224)
    if mode not in ("center", "squash"):
        raise InputFileError(
            f"the crop_mode {mode!r} has no counterpart here", where=path, remedy=IN_PIXELS
        )
    if (
        not isinstance(size, list | tuple)
        or len(size) != 3
        or not all(type(side) is int and side > 0 for side in size)
    ):
        raise InputFileError("input_size must be [channels, height, width]", where=path)
    _, height, width = size
    # timm resizes both sides for "squash"; for "center" the shorter one, if the crop is square.
    exact = mode == "squash" and share == 1
    if (mode == "squash" and not exact) or (mode == "center" and height != width):
        raise InputFileError(
            f"crop_mode {mode!r} of {height} × {width} at {share:g} has no counterpart here",
            where=path,
            remedy=IN_PIXELS,
        )
    return json_files.preprocessing(
        {
            "resize": math.floor(height / share),
            "crop": [height, width],
            "interpolation": found.get("interpolation") or "bicubic",
            "resize_mode": "exact" if exact else "shorter",
            "mean": found.get("mean") or IMAGENET_MEAN,
            "std": found.get("std") or IMAGENET_STD,
        },
        path,
    )
