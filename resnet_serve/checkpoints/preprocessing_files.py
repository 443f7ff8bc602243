"""`--preprocessing FILE`: how weights see images, in our words, timm's or transformers'."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

from resnet_serve.checkpoints import json_files, timm_files, transformers_files
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing

_TIMM_ONLY = {"input_size", "crop_pct", "crop_mode", "pretrained_cfg"}
_OURS = {field.name for field in fields(Preprocessing)}


def override(path: Path, base: Preprocessing) -> Preprocessing:
    """The fields that a file gives over those of `base`; a library's file says all of them."""
    data = json_files.mapping(path)
    if transformers_files.is_processor(data):
        return transformers_files.preprocessing(data, path)
    if _TIMM_ONLY & set(data):
        return timm_files.preprocessing(data, path)
    unknown = sorted(set(data) - _OURS)
    if unknown or not data:
        raise InputFileError(
            f"does not know {unknown[0]!r}" if unknown else "says nothing",
            where=path,
            remedy=f"Fields are {', '.join(sorted(_OURS))}, or those of timm's pretrained_cfg or "
            "of transformers' preprocessor_config.json.",
        )
    return json_files.preprocessing({**asdict(base), **data}, path)
