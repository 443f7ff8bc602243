"""Olive's static quantization of an ONNX model, at its defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from olive.data.config import DataComponentConfig, DataConfig
from olive.data.registry import Registry
from olive.workflows import run


@Registry.register_dataset("peer_images")
def images(data_dir: str, **_: Any) -> Any:
    """The calibration images, each with a label that nothing reads."""
    return [({"image": image}, 0) for image in np.load(data_dir)]


def convert(folder: Path) -> None:
    """To a folder `olive`."""
    calibration = {"data_dir": str(folder / "calibration.npy")}
    component = DataComponentConfig(type="peer_images", params=calibration)
    data = DataConfig(name="calibration", load_dataset_config=component)
    run(
        {
            "input_model": {"type": "OnnxModel", "model_path": str(folder / "model.onnx")},
            "data_configs": [data.model_dump()],
            "passes": {"quantized": {"type": "OnnxStaticQuantization", "data_config": data.name}},
            "output_dir": str(folder / "olive"),
            "cache_dir": str(folder / "olive-cache"),
        }
    )


def load(folder: Path) -> Callable[[Any], Any]:
    """A session on all cores."""
    path = str(next((folder / "olive").rglob("model.onnx")))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"image": images})[0]
