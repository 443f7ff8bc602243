"""`--preprocessing FILE`: the preprocessing of weights in our fields, timm's or transformers'."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

from resnet_serve.checkpoints import json_files, timm_files, transformers_files
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing

_TIMM_ONLY = {"input_size", "crop_pct", "crop_mode", "pretrained_cfg"}
_OURS = {field.name for field in fields(Preprocessing)}


def override(path: Path, base: Preprocessing) -> Preprocessing:
    """The preprocessing of a file; fields that it does not set are those of `base`.

    The files of timm and transformers set all fields. Raises `InputFileError` for a file of
    another kind and for unknown fields.
    """
    data = json_files.mapping(path)
    if transformers_files.is_processor(data):
        return transformers_files.preprocessing(data, path)
    if _TIMM_ONLY & set(data):
        return timm_files.preprocessing(data, path)
    unknown = sorted(set(data) - _OURS)
    if unknown or not data:
        raise InputFileError(
            f"has an unknown field {unknown[0]!r}" if unknown else "has no fields",
            where=path,
            remedy=f"Its fields are {', '.join(sorted(_OURS))}, or those of timm's pretrained_cfg "
            "or of transformers' preprocessor_config.json.",
        )
    return json_files.preprocessing({**asdict(base), **data}, path)
