"""What every service of a peer has in common: the network, decoding, and the five best classes.

    network = Network()
    logits = network(pixels)          # UINT8 [N,224,224,3] to FP32 [N,1000]

One ONNX file for all, in ONNX Runtime or OpenVINO with so many threads, or the PyTorch network
that it was made from. It runs in the environment of a peer, so it imports nothing of ours but the
architecture, for PyTorch. What a user would write for preprocessing is here too.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE, SHORTER, TOP = 224, 256, 5
WORKERS = int(os.environ.get("PEER_WORKERS", "1"))
BATCH = int(os.environ.get("PEER_BATCH", "1"))
DELAY_S = float(os.environ.get("PEER_DELAY_MS", "0")) / 1e3
PORT = int(os.environ.get("PEER_PORT", "8000"))


class Network:
    """The network in the runtime that PEER_RUNTIME names, with PEER_THREADS threads."""

    def __init__(self) -> None:
        model, runtime = os.environ["PEER_MODEL"], os.environ["PEER_RUNTIME"]
        self._run = _RUNTIMES[runtime](model, int(os.environ["PEER_THREADS"]))
        self(np.zeros((1, SIDE, SIDE, 3), np.uint8))

    def __call__(self, pixels: Any) -> Any:
        """The logits FP32 [N,classes] of pixels UINT8 [N,224,224,3]."""
        return self._run(pixels)


def _onnxruntime(model: str, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"image": pixels})[0]


def _openvino(model: str, threads: int) -> Any:
    import openvino

    properties = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(model, "CPU", properties).create_infer_request()
    return lambda pixels: np.array(request.infer([pixels], share_inputs=True)[0])


def _pytorch(model: str, threads: int) -> Any:
    import torch

    from resnet_serve.architectures import build, find

    torch.set_num_threads(threads)
    network = build(find("resnet50")).eval()
    network.load_state_dict(torch.load(Path(model).with_suffix(".pt")))
    mean, std = (np.array(v, np.float32) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    def run(pixels: Any) -> Any:
        planes = ((pixels.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2)
        with torch.inference_mode():
            return network(torch.from_numpy(np.ascontiguousarray(planes))).numpy()

    return run


_RUNTIMES = {"onnxruntime": _onnxruntime, "openvino": _openvino, "pytorch": _pytorch}


def pixels_of(data: bytes) -> Any:
    """The pixels UINT8 [224,224,3] of a body: raw ones, or those of an image file."""
    if len(data) == SIDE * SIDE * 3:
        return np.frombuffer(data, np.uint8).reshape(SIDE, SIDE, 3)
    image = Image.open(io.BytesIO(data)).convert("RGB")
    scale = SHORTER / min(image.size)
    image = image.resize([round(scale * side) for side in image.size], Image.Resampling.BILINEAR)
    left, top = ((side - SIDE) // 2 for side in image.size)
    return np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))


def labels() -> list[str]:
    """The names of the classes."""
    return Path(os.environ["PEER_LABELS"]).read_text(encoding="utf-8").splitlines()


def best(logits: Any, names: list[str]) -> list[list[Any]]:
    """The five best classes with their probabilities."""
    shares = np.exp(logits - logits.max())
    order = np.argsort(-logits)[:TOP]
    return [[names[index], float(shares[index] / shares.sum())] for index in order]
