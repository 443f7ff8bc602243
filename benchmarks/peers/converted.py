"""What every converter is given: a network, its images, and the FP32 graph; and what ours makes.

CIFAR-10's ResNet-20, or that of the digits, is for accuracy: `labels.npy` is there. An untrained
ResNet-50 is for speed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from networks import Cifar10, Trained
from numpy.typing import NDArray

from peers.peer import RUNTIMES
from resnet_convert import precision
from resnet_convert.folded import prepare
from resnet_convert.parity.reference import Reference
from resnet_convert.request import Request
from resnet_convert.stage_log import Silent, StageLog
from resnet_serve import host, weights
from resnet_serve.architectures import find
from resnet_serve.datasets import Images, open_images, pixel_batches
from resnet_serve.datasets.selection import spread
from resnet_serve.optional import optional
from resnet_serve.weights import Weights

torch = optional("torch", extra="convert")
CALIBRATION, SPEED = 256, "resnet50"


def prepared(folder: Path, task: str, data: Path, images: int) -> Iterator[Path]:
    """The folders of the network for accuracy and of that for speed, written where missing."""
    trained = Cifar10(data) if task == "cifar10" else Trained("digits", "resnet20", 32, 40)
    loaded = trained.load()
    validation = spread(trained.images(loaded.labels, "validation"), images)
    calibration = trained.images(loaded.labels, "calibration")
    yield _written(folder / f"{task}-{images}", trained.arch, loaded, calibration, validation)
    digits = open_images("digits", None, split="calibration")
    untrained = weights.load("random", find(SPEED))
    yield _written(folder / SPEED, SPEED, untrained, digits, spread(digits, 1))


def _written(
    folder: Path, arch: str, loaded: Weights, calibration: Images, validation: Images
) -> Path:
    done = folder / "prepared"
    if done.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    network = loaded.network()
    torch.save(network, folder / "network.pt")
    calibration = spread(calibration, CALIBRATION)
    np.save(folder / "calibration.npy", _planes(calibration, loaded))
    np.save(folder / "test.npy", _planes(validation, loaded))
    if loaded.trained and validation.labels is not None:
        np.save(folder / "labels.npy", validation.labels)
    request = Request(arch=arch, precision="fp32", target="onnxruntime", input="float32")
    reference = Reference(network, loaded, request.input, host.cores())
    log = StageLog(Silent())
    folded = prepare(request, reference, log)
    made = precision.bring(folded.model, request, reference, calibration, log)
    (folder / "model.onnx").write_bytes(made.data)
    for target in RUNTIMES:
        began = time.perf_counter()
        int8 = Request(arch=arch, precision="int8", target=target, input="float32")
        made = precision.bring(folded.model, int8, reference, calibration, log)
        (folder / f"{target}-int8.onnx").write_bytes(made.data)
        (folder / f"{target}-int8.seconds").write_text(str(time.perf_counter() - began))
    done.touch()
    return folder


def _planes(images: Images, loaded: Weights) -> NDArray[np.float32]:
    """The images as every tool takes them: FP32 [N,3,H,W], normalised."""
    batches = pixel_batches(images, loaded.preprocessing, 256)
    return np.concatenate([loaded.preprocessing.normalize(pixels) for pixels in batches])
