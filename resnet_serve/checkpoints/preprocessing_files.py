"""`--preprocessing FILE`: the preprocessing of weights in our fields, or those of a library."""

from __future__ import annotations

from pathlib import Path

from resnet_serve.checkpoints import json_files, timm_files
from resnet_serve.checkpoints.transforms import image_processors
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.preprocessing.document import FIELDS

_TIMM_ONLY = {
    *("input_size", "crop_mode", "pretrained_cfg", "test_input_size", "fixed_input_size"),
    "test_crop_pct",
}


def override(path: Path, base: Preprocessing) -> Preprocessing:
    """The preprocessing of a file; fields that it does not set are those of `base`.

    The files of timm and transformers set all fields. Raises `InputFileError` for a file of
    another kind, for unknown fields and for fields that contradict each other.
    """
    data = json_files.mapping(path)
    if image_processors.is_processor(data):
        return image_processors.preprocessing(data, path)
    if _TIMM_ONLY & set(data):
        return timm_files.preprocessing(data, path)
    unknown = sorted(set(data) - set(FIELDS))
    if unknown or not data:
        raise InputFileError(
            f"has an unknown field {unknown[0]!r}" if unknown else "has no fields",
            where=path,
            remedy=f"Its fields are {', '.join(FIELDS)}, or those of timm's pretrained_cfg or of "
            "transformers' preprocessor_config.json.",
        )
    return json_files.preprocessing(data, path, base)
