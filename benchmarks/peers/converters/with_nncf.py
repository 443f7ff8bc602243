"""NNCF's post-training quantization of an OpenVINO model, at its defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino


def convert(folder: Path) -> None:
    """To `nncf.xml`."""
    images = nncf.Dataset(np.load(folder / "calibration.npy"), lambda image: image[None])
    model = openvino.Core().read_model(folder / "model.onnx")
    openvino.save_model(nncf.quantize(model, images), folder / "nncf.xml")


def load(folder: Path) -> Callable[[Any], Any]:
    """Compiled with the latency hint."""
    hint = {"PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(folder / "nncf.xml", "CPU", hint)
    return lambda images: compiled(images)[0]
