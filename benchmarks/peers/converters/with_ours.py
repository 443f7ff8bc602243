"""Ours: the INT8 network of `resnet-convert`, which the runner has written, in either runtime."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resnet_serve import host, runtimes


def convert(folder: Path) -> None:
    """`resnet-convert` did it."""


def seconds(folder: Path) -> float:
    """How long that took."""
    return float((folder / f"{os.environ['OURS_RUNTIME']}-int8.seconds").read_text())


def load(folder: Path) -> Callable[[Any], Any]:
    """In the runtime that OURS_RUNTIME names, on all cores."""
    target = os.environ["OURS_RUNTIME"]
    data = (folder / f"{target}-int8.onnx").read_bytes()
    return runtimes.open_on_cpu(target, "int8", data, host.cores()).run
