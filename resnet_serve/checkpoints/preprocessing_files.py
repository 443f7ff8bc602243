"""`--preprocessing FILE`: the preprocessing of weights in our fields, or those of a library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_serve.checkpoints import json_files, timm_files
from resnet_serve.checkpoints.transforms import image_processors, torchvision_steps
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.preprocessing.document import FIELDS

_TIMM_ONLY = {
    *("input_size", "crop_mode", "pretrained_cfg", "test_input_size", "fixed_input_size"),
    "test_crop_pct",
}


def override(path: Path, base: Preprocessing) -> Preprocessing:
    """The preprocessing of a file; fields that it does not set are those of `base`.

    The files of timm and transformers, and torchvision's presets, set all fields. Raises
    `InputFileError` for a file of another kind, for unknown fields and for
    fields that contradict each other.
    """
    data = json_files.mapping(path)
    if image_processors.is_processor(data):
        return image_processors.preprocessing(data, path)
    if _TIMM_ONLY & set(data):
        return timm_files.preprocessing(data, path)
    if "resize_size" in data:
        return json_files.preprocessing(_of_preset(data, path), path)
    unknown = sorted(set(data) - set(FIELDS))
    if unknown or not data:
        raise InputFileError(
            f"has an unknown field {unknown[0]!r}" if unknown else "has no fields",
            where=path,
            remedy=f"Its fields are {', '.join(FIELDS)}, or those of timm's pretrained_cfg or of "
            "transformers' preprocessor_config.json.",
        )
    return json_files.preprocessing(data, path, base)


def _of_preset(data: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The fields of torchvision's `ImageClassification`, as its weights name them."""
    try:
        return torchvision_steps.preset(data)
    except InputFileError as error:
        raise InputFileError(error.what, where=path, remedy=json_files.IN_PIXELS) from error
