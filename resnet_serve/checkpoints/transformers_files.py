"""Hugging Face transformers' `config.json` and `preprocessor_config.json`.

The image processors of its published residual networks (transformers
`models/*/image_processing_*.py`):

    ConvNext    shorter side to ⌊size / crop_pct⌋, centre crop of size; from 384 on both sides to it
    others      `size` of a shortest edge, or of both sides; with `do_center_crop`, then `crop_size`
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_serve.activation import Kind
from resnet_serve.checkpoints import json_files
from resnet_serve.checkpoints.json_files import IN_PIXELS
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing

PROCESSOR_FILE = "preprocessor_config.json"
# `problem_type` chooses the loss: cross entropy, binary cross entropy per label, squared error.
_ACTIVATIONS = {
    "single_label_classification": Kind.SOFTMAX,
    "multi_label_classification": Kind.SIGMOID,
    "regression": Kind.NONE,
}
_CROP_PCT = 224 / 256
_WARPED_FROM = 384
_STANDARD = (0.5, 0.5, 0.5)  # IMAGENET_STANDARD_MEAN and _STD, the processors' own
_INTERPOLATION = {"0": "nearest", "1": "lanczos", "2": "bilinear", "3": "bicubic"}  # Pillow's


def is_config(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is of a residual network of transformers."""
    return config.get("model_type") == "resnet"


def is_processor(data: Mapping[str, Any]) -> bool:
    """Whether a file is a `preprocessor_config.json`."""
    return "image_mean" in data or _kind(data) != ""


def labels(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Its class names, in the order of their numbers, each on one line, or None."""
    names = config.get("id2label")
    if not isinstance(names, dict):
        return None
    return json_files.names_in(names.get(str(number)) for number in range(len(names)))


def activation(config: Mapping[str, Any]) -> Kind | None:
    """The activation that belongs to the loss of its training, or None where it is not stated."""
    problem = config.get("problem_type")
    return _ACTIVATIONS.get(problem) if isinstance(problem, str) else None


def strided(config: Mapping[str, Any]) -> str | None:
    """The convolution of a bottleneck that halves the image: "1x1" (v1) or "3x3" (v1.5).

    None for basic blocks.
    """
    if config.get("layer_type", "bottleneck") != "bottleneck":
        return None
    return "1x1" if config.get("downsample_in_bottleneck") is True else "3x3"


def doubts(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Reasons, as text, why the network may compute something else with the same tensors."""
    found = []
    if config.get("hidden_act", "relu") != "relu":
        found.append(f"its activation is {config['hidden_act']!r}")
    if config.get("downsample_in_first_stage", False) is not False:
        found.append("its first stage also halves the image")
    return tuple(found)


def preprocessing(data: Mapping[str, Any], path: Path) -> Preprocessing:
    """The preprocessing of the image processor.

    Raises `InputFileError` for a processor that `Preprocessing` cannot express.
    """
    if data.get("do_resize", True) is not True or data.get("do_rescale", True) is not True:
        raise _refused("does not resize, or does not scale pixels to [0, 1]", path)
    if not 254.9 < 1 / _number(data.get("rescale_factor", 1 / 255), "rescale_factor", path) < 255.1:
        raise _refused("scales pixels to another range than [0, 1]", path)
    normalised = data.get("do_normalize", True) is True
    resample = data.get("resample", 3 if _is_convnext(data) else 2)
    return json_files.preprocessing(
        {
            **_geometry(data, path),
            "interpolation": _INTERPOLATION.get(str(resample), str(resample)),
            "mean": (data.get("image_mean") or _STANDARD) if normalised else (0, 0, 0),
            "std": (data.get("image_std") or _STANDARD) if normalised else (1, 1, 1),
        },
        path,
    )


def _geometry(data: Mapping[str, Any], path: Path) -> dict[str, object]:
    size, convnext = data.get("size"), _is_convnext(data)
    if convnext:
        side = _side(size, "shortest_edge", path, default=_WARPED_FROM)
        if side >= _WARPED_FROM:
            return {"resize": side, "crop": [side, side], "resize_mode": "exact"}
        fraction = json_files.fraction_of(data.get("crop_pct") or _CROP_PCT, path)
        return {"resize": int(side / fraction), "crop": [side, side], "resize_mode": "shorter"}
    shortest = isinstance(size, dict) and "shortest_edge" in size
    cropped = data.get("do_center_crop") is True
    if shortest and cropped:
        crop = data.get("crop_size")
        height, width = _side(crop, "height", path), _side(crop, "width", path)
        resize = _side(size, "shortest_edge", path)
        if resize >= max(height, width):
            return {"resize": resize, "crop": [height, width], "resize_mode": "shorter"}
    elif not shortest and not cropped:
        height, width = _side(size, "height", path), _side(size, "width", path)
        return {"resize": min(height, width), "crop": [height, width], "resize_mode": "exact"}
    raise _refused("resizes and crops in a way that is not supported here", path)


def _side(size: object, name: str, path: Path, default: int | None = None) -> int:
    """One side in pixels; older files have one number for all of them."""
    value = size.get(name) if isinstance(size, dict) else (default if size is None else size)
    if type(value) is not int or value < 1:
        raise _refused(f"has no {name} in pixels", path)
    return value


def _number(value: object, name: str, path: Path) -> float:
    if not isinstance(value, int | float) or not value > 0:
        raise _refused(f"has no {name}", path)
    return value


def _is_convnext(data: Mapping[str, Any]) -> bool:
    return "crop_pct" in data or "ConvNext" in _kind(data)


def _kind(data: Mapping[str, Any]) -> str:
    return str(data.get("image_processor_type") or data.get("feature_extractor_type") or "")


def _refused(what: str, path: Path) -> InputFileError:
    return InputFileError(what, where=path, remedy=IN_PIXELS)
