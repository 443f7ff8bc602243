"""Preprocessing from files beside the weights: timm's `config.json`, and `--preprocessing FILE`.

timm keeps with each of its weights (`pretrained_cfg`) mean, std, interpolation, the input size and
the share of the resized image that the centre crop keeps:

    resize = ⌊input size / crop_pct⌋        (timm/data/transforms_factory.py, crop_mode "center")

What timm leaves out has timm's defaults (timm/data/config.py): bicubic, 0.875, ImageNet's mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

CONFIG_FILE = "config.json"
_CROP_PCT = 0.875
_TIMM_ONLY = {"input_size", "crop_pct", "crop_mode", "pretrained_cfg"}
_OURS = {field.name for field in fields(Preprocessing)}


@dataclass(frozen=True)
class Beside:
    """What a file beside the weights says of them."""

    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None


def of_timm(checkpoint: Path, classes: int) -> Beside:
    """Preprocessing and class names of timm's `config.json` beside a checkpoint, where it is one.

    Names that are not as many as the network has classes belong to another classifier.

    A `config.json` of another library is none of ours; one that is no JSON is refused, because
    what it would have said is not known.
    """
    path = checkpoint.with_name(CONFIG_FILE)
    if not path.is_file():
        return Beside()
    config = _read(path)
    if not isinstance(config.get("pretrained_cfg"), dict) and "crop_pct" not in config:
        return Beside()
    names = config.get("label_names")
    labels = None
    if isinstance(names, list) and all(isinstance(name, str) and name.strip() for name in names):
        labels = tuple(" ".join(name.split()) for name in names) if len(names) == classes else None
    return Beside(_from_timm(config, path), labels)


def override(path: Path, base: Preprocessing) -> Preprocessing:
    """`--preprocessing FILE`: the fields it gives, in our words or timm's, over those of `base`."""
    data = _read(path)
    if _TIMM_ONLY & set(data):
        return _from_timm(data, path)
    unknown = sorted(set(data) - _OURS)
    if unknown or not data:
        raise InputFileError(
            f"does not know {unknown[0]!r}" if unknown else "says nothing",
            where=path,
            remedy=f"Fields are {', '.join(sorted(_OURS))}, or those of timm's pretrained_cfg.",
        )
    return _checked({**asdict(base), **data}, path)


def _from_timm(config: Mapping[str, Any], path: Path) -> Preprocessing:
    found = config.get("pretrained_cfg", config)
    found = found if isinstance(found, dict) else {}
    mode = found.get("crop_mode") or "center"
    share = found.get("crop_pct") or _CROP_PCT
    size = found.get("input_size") or (3, 224, 224)
    if mode not in ("center", "squash"):
        raise InputFileError(
            f"the crop_mode {mode!r} has no counterpart here",
            where=path,
            remedy="Give --preprocessing FILE with resize and crop in pixels.",
        )
    if (
        not isinstance(size, list | tuple)
        or len(size) != 3
        or not all(type(side) is int and side > 0 for side in size)
    ):
        raise InputFileError("input_size must be [channels, height, width]", where=path)
    if type(share) not in (int, float) or not 0.1 <= share <= 10:
        raise InputFileError(f"crop_pct {share!r} is no share of an image", where=path)
    _, height, width = size
    resize = math.floor(height / share)
    # timm resizes both sides for "squash"; for "center" the shorter one, if the crop is square.
    exact = mode == "squash" and share == 1
    if (mode == "squash" and not exact) or (mode == "center" and height != width):
        raise InputFileError(
            f"crop_mode {mode!r} of {height} × {width} at {share:g} has no counterpart here",
            where=path,
            remedy="Give --preprocessing FILE with resize and crop in pixels.",
        )
    return _checked(
        {
            "resize": resize,
            "crop": [height, width],
            "interpolation": found.get("interpolation") or "bicubic",
            "resize_mode": "exact" if exact else "shorter",
            "mean": found.get("mean") or IMAGENET_MEAN,
            "std": found.get("std") or IMAGENET_STD,
        },
        path,
    )


def _checked(data: Mapping[str, Any], path: Path) -> Preprocessing:
    try:
        return Preprocessing.from_json(data)
    except InputFileError as error:
        raise InputFileError(error.what, where=path, remedy=error.remedy) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputFileError(f"cannot be read ({error.strerror})", where=path) from error
    except (ValueError, RecursionError) as error:
        raise InputFileError(
            f"is not valid JSON ({error})",
            where=path,
            remedy="It says how the weights see images: mend it, move it, or give --preprocessing.",
        ) from error
    if not isinstance(data, dict):
        raise InputFileError("is JSON, but not a mapping of fields", where=path)
    return data
