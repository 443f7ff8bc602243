"""ONNX Runtime's static quantization, at its defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, quantize_static


class _Images(CalibrationDataReader):
    def __init__(self, images: Any) -> None:
        self._left = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        image = next(self._left, None)
        return None if image is None else {"image": image[None]}


def convert(folder: Path) -> None:
    """To `onnxruntime.onnx`."""
    images = _Images(np.load(folder / "calibration.npy"))
    quantize_static(folder / "model.onnx", folder / "onnxruntime.onnx", images)


def load(folder: Path) -> Callable[[Any], Any]:
    """A session on all cores."""
    path = str(folder / "onnxruntime.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"image": images})[0]
