"""resnet_convert: the build-time half, from checkpoint to a deployed, proved model.

from resnet_convert import convert
conversion = convert(arch="resnet20", weights="digits", precision="int8",
                     calibration="digits", validation="digits")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet_convert.conversion import Conversion
    from resnet_convert.pipeline import convert, run
    from resnet_convert.request import Request

__all__ = ["Conversion", "Request", "convert", "run"]
_HOMES = {
    "Conversion": "conversion",
    "Request": "request",
    "convert": "pipeline",
    "run": "pipeline",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
