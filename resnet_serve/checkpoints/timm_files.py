"""timm's `config.json`: architecture, preprocessing and class names of its weights.

timm stores with all weights (`pretrained_cfg`) mean, std, interpolation, the input size and the
fraction of the resized image that the centre crop keeps:

    resize = ⌊input size / crop_pct⌋        (timm/data/transforms_factory.py)

    center    the shorter side, then the centre
    squash    both sides, then the centre
    border    the longest side; the rest has the colour of the mean

Missing fields have timm's defaults (timm/data/config.py): bicubic, 0.875, ImageNet's mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
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
    """The preprocessing of timm's evaluation transform, at the size `input_size` of training.

    Raises `InputFileError` for a transform that `Preprocessing` cannot express.
    """
    found = config.get("pretrained_cfg", config)
    found = found if isinstance(found, dict) else {}
    _check(found, path)
    mode = found.get("crop_mode") or "center"
    fraction = json_files.fraction_of(found.get("crop_pct") or _CROP_PCT, path)
    size = found.get("input_size") or (3, 224, 224)
    if mode not in ("center", "squash", "border"):
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
    # timm resizes both sides for "squash"; else one of them, if the crop is square.
    if mode != "squash" and height != width:
        raise InputFileError(
            f"crop_mode {mode!r} of {height} × {width} is not supported here",
            where=path,
            remedy=IN_PIXELS,
        )
    mean, std = (
        _numbers(found.get(name), default, size[0], name, path)
        for name, default in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD))
    )
    resized = [math.floor(side / fraction) for side in (height, width)]
    fields: dict[str, Any] = {
        "resize": resized if mode == "squash" else resized[0],
        "crop": [height, width],
        "interpolation": found.get("interpolation") or "bicubic",
        "mean": mean,
        "std": std,
    }
    if mode == "border":  # the longest side, with borders in the colour of the mean
        fields["resize_mode"] = "longest"
        fields["fill"] = [min(255, max(0, round(255 * value))) for value in mean]
    return json_files.preprocessing(fields, path)


def _check(found: Mapping[str, Any], path: Path) -> None:
    """Refuse fields of timm's transform that would change pixels and are not expressed here."""
    if found.get("crop_border_pixels"):
        raise InputFileError(
            f"crop_border_pixels {found['crop_border_pixels']!r} is not supported here",
            where=path,
            remedy=IN_PIXELS,
        )


def _numbers(
    value: object, default: tuple[float, ...], channels: int, name: str, path: Path
) -> tuple[float, ...]:
    """One number a channel; timm repeats a single one."""
    if not value:
        return default if channels == len(default) else (fmean(default),) * channels
    numbers = tuple(value) if isinstance(value, list | tuple) else (value,)
    numbers = numbers * channels if len(numbers) == 1 else numbers
    if len(numbers) != channels:
        raise InputFileError(
            f"{name} has {len(numbers)} numbers for {channels} channels", where=path
        )
    return numbers
