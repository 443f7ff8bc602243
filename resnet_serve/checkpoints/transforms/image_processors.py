"""transformers' `preprocessor_config.json`: every field has an effect here, or is refused.

The image processors (transformers `models/*/image_processing_*.py`) compute

    resize ─ centre crop ─ x·rescale_factor − offset ─ (x − mean)/std ─ /std for include_top ─ BGR

    ConvNext    shorter side to ⌊size / crop_pct⌋, centre crop of size; from 384 on both sides to it
    others      `size` of a shortest edge, or of both sides; with `do_center_crop`, then `crop_size`
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from resnet_serve.checkpoints import json_files
from resnet_serve.checkpoints.json_files import IN_PIXELS
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

PROCESSOR_FILE = "preprocessor_config.json"
_CROP_PCT = 224 / 256
_WARPED_FROM = 384
_INTERPOLATION = {
    **{"0": "nearest", "1": "lanczos", "2": "bilinear", "3": "bicubic", "4": "box"},
    "5": "hamming",
}  # Pillow's numbers
_STANDARD = (0.5, 0.5, 0.5)  # IMAGENET_STANDARD_MEAN and _STD
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# Defaults of the processors where a file leaves a field out, by a part of the processor's name.
_COMMON = {"image_mean": _STANDARD, "image_std": _STANDARD, "resample": 2}
_DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "ConvNext": {
            **{"size": {"shortest_edge": _WARPED_FROM}, "crop_pct": _CROP_PCT, "resample": 3},
            **{"image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD},
        },
        "MobileViT": {
            **{"size": {"shortest_edge": 224}, "crop_size": 256, "do_center_crop": True},
            **{"do_normalize": False, "do_flip_channel_order": True},
        },
        "MobileNet": {"size": {"shortest_edge": 256}, "crop_size": 224, "do_center_crop": True},
        "Bit": {
            **{"size": {"shortest_edge": 224}, "crop_size": 224, "do_center_crop": True},
            **{"image_mean": _CLIP_MEAN, "image_std": _CLIP_STD, "resample": 3},
        },
        # Its default filter has changed between releases.
        "EfficientNet": {"include_top": True, "resample": None},
    }
)
_READ = {
    *("do_resize", "size", "resample", "do_center_crop", "crop_size", "crop_pct", "do_rescale"),
    *("rescale_factor", "rescale_offset", "do_normalize", "image_mean", "image_std"),
    *("include_top", "do_flip_channel_order", "default_to_square"),
}
# What changes no pixel: names, and the form in which Python gets the result.
_HARMLESS = {
    *("image_processor_type", "feature_extractor_type", "processor_class", "auto_map", "device"),
    *("_processor_class", "_valid_processor_keys", "data_format", "input_data_format"),
    *("return_tensors", "model_input_names", "disable_grouping", "do_convert_rgb"),
    *("do_reduce_labels", "reduce_labels", "transformers_version", "_name_or_path"),
}


def is_processor(data: Mapping[str, Any]) -> bool:
    """Whether a file is a `preprocessor_config.json`."""
    return bool({"image_mean", "do_rescale", "do_normalize"} & set(data)) or _kind(data) != ""


def preprocessing(data: Mapping[str, Any], path: Path) -> Preprocessing:
    """The preprocessing of the image processor.

    Raises `InputFileError` for a processor that `Preprocessing` cannot express, and for fields
    that would change pixels in a way that is not known here.
    """
    for name in sorted(set(data) - _READ - _HARMLESS):
        if data[name] not in (None, False, {}, []):
            raise _refused(f"has {name!r}: {data[name]!r}, which has no equivalent here", path)
    kind = _kind(data)
    defaults = {
        key: row for name, each in _DEFAULTS.items() if name in kind for key, row in each.items()
    }
    given = {key: value for key, value in data.items() if value is not None}
    found = {**_COMMON, **defaults, **given}
    _check_flags(found, path)
    if found["resample"] is None:
        raise InputFileError(
            f"does not name its filter, whose default in {kind} has changed",
            where=path,
            remedy='Add "resample": 0 (nearest), 2 (bilinear) or 3 (bicubic), as it was trained.',
        )
    geometry = _geometry(found, kind, path)
    if geometry["resize"] is not None:
        filter_name = str(found["resample"])
        geometry["interpolation"] = _INTERPOLATION.get(filter_name, filter_name)
    return json_files.preprocessing({**geometry, **_colours(found, path)}, path)


def _geometry(data: Mapping[str, Any], kind: str, path: Path) -> dict[str, Any]:
    if data.get("do_resize", True) is not True:
        if data.get("do_center_crop") is True:
            return {"resize": None, "crop": _sides(data.get("crop_size"), path)}
        raise _refused("neither resizes nor crops, so that images have no one size", path)
    size = data.get("size")
    if "crop_pct" in data or "ConvNext" in kind:
        side = _side(size, "shortest_edge", path)
        if side >= _WARPED_FROM:
            return {"resize": [side, side], "crop": side}
        fraction = json_files.fraction_of(data.get("crop_pct") or _CROP_PCT, path)
        return {"resize": int(side / fraction), "crop": side}
    if isinstance(size, int) and data.get("default_to_square") is False:
        size = {"shortest_edge": size}
    shortest = isinstance(size, dict) and set(size) == {"shortest_edge"}
    if data.get("do_center_crop") is not True:
        if shortest or (isinstance(size, dict) and "longest_edge" in size):
            raise _refused("does not bring images to one size", path)
        sides = _sides(size, path)
        return {"resize": sides, "crop": sides}
    crop = _sides(data.get("crop_size"), path)
    if shortest:
        resize: Any = _side(size, "shortest_edge", path)
        covered = resize >= max(crop)
    else:
        resize = _sides(size, path)
        covered = resize[0] >= crop[0] and resize[1] >= crop[1]
    if not covered:
        raise _refused("pads images, which transformers does in two ways", path)
    return {"resize": resize, "crop": crop}


def _colours(data: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Mean and std of ((x·factor − offset − mean)/std)/std."""
    factor = 1.0
    if data.get("do_rescale", True) is True:
        factor = _number(data.get("rescale_factor", 1 / 255), "rescale_factor", path)
    offset = 1.0 if data.get("rescale_offset") is True else 0.0
    means, deviations = (
        _per_channel(data[name], name, path) for name in ("image_mean", "image_std")
    )
    if len(means) != len(deviations):
        raise _refused("image_mean and image_std are not of as many channels", path)
    normalised = data.get("do_normalize", True) is True
    mean = [each if normalised else 0.0 for each in means]
    std = [each if normalised else 1.0 for each in deviations]
    if data.get("include_top") is True:
        std = [one * again for one, again in zip(std, deviations, strict=True)]
    fields: dict[str, Any] = {
        "rescale": factor,
        "mean": [each + offset for each in mean],
        "std": std,
    }
    if data.get("do_flip_channel_order") is True:
        if len(set(mean)) > 1 or len(set(std)) > 1:
            raise _refused("normalises and flips the channels, whose order is not known", path)
        fields["channel_order"] = "bgr"
    return fields


def _check_flags(data: Mapping[str, Any], path: Path) -> None:
    flags = [name for name in data if name.startswith("do_")] + ["include_top", "rescale_offset"]
    for name in flags:
        if type(data.get(name, False)) is not bool:
            raise _refused(f"{name} is {data[name]!r}, not true or false", path)


def _sides(size: object, path: Path) -> list[int]:
    return [_side(size, "height", path), _side(size, "width", path)]


def _side(size: object, name: str, path: Path) -> int:
    """One side in pixels; older files have one number for all of them, or a list of two."""
    if isinstance(size, list | tuple) and len(size) == 2:
        size = dict(zip(("height", "width"), size, strict=True))
    value = size.get(name) if isinstance(size, dict) else size
    if type(value) is not int or value < 1:
        raise _refused(f"has no {name} in pixels", path)
    return value


def _per_channel(value: object, name: str, path: Path) -> list[float]:
    values: list[Any] = list(value) if isinstance(value, list | tuple) else [value] * 3
    if not all(isinstance(each, int | float) and type(each) is not bool for each in values):
        raise _refused(f"{name} is not a list of numbers", path)
    return [float(each) for each in values]


def _number(value: object, name: str, path: Path) -> float:
    if not isinstance(value, int | float) or not value > 0:
        raise _refused(f"has no {name}", path)
    return value


def _kind(data: Mapping[str, Any]) -> str:
    return str(data.get("image_processor_type") or data.get("feature_extractor_type") or "")


def _refused(what: str, path: Path) -> InputFileError:
    return InputFileError(what, where=path, remedy=IN_PIXELS)
