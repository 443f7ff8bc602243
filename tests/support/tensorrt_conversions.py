"""Conversions of the digits network to TensorRT, on a host with a double of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpu_host import GpuHost

from resnet_convert import Conversion, convert
from resnet_serve import passport

DIGITS: dict[str, Any] = {
    "arch": "resnet20",
    "weights": "digits",
    "target": "tensorrt",
    "calibration": "digits",
    "calibration_images": 64,
    "validation": "digits",
    "validation_images": 32,
    "name": "digits",
}
Start = Callable[..., GpuHost]


def converted(tmp_path: Path, precision: str, **options: Any) -> Conversion:
    return convert(
        **{**DIGITS, "precision": precision, "repository": tmp_path / "models", **options}
    )


def stamped(conversion: Conversion) -> passport.Passport:
    assert conversion.path is not None
    return passport.read(conversion.path / passport.FILE_NAME)
