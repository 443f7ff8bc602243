"""What every peer serves: one INT8 ResNet-50, its labels, and the same images as requests."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from peers.peer import JPEG, RUNTIMES, TENSOR, WORKLOADS
from peers.servers.ours import MODEL
from resnet_convert import convert
from resnet_serve import host, runtimes, weights
from resnet_serve.architectures import find
from resnet_serve.loadtest import inputs
from resnet_serve.optional import optional
from resnet_serve.preprocessing import Preprocessing, decode

torch = optional("torch", extra="convert")
MAX_QUEUE = 64
QUALITY = 95  # which gives about 80 kB


@dataclass(frozen=True)
class ServedModel:
    """The repository of ours, and in it the files that the peers are given."""

    repository: Path

    @property
    def onnx(self) -> Path:
        """The ONNX file: UINT8 pixels in, logits out, INT8 between."""
        return self.repository.parent / "resnet50.onnx"

    @property
    def labels(self) -> Path:
        """The names of the classes, a line each."""
        return self.repository / MODEL / "labels.txt"

    @classmethod
    def prepare(cls, folder: Path) -> ServedModel:
        """Convert it into `folder` unless it is there."""
        made = cls(folder / "models")
        if not made.onnx.exists():
            convert(
                arch="resnet50",
                weights="random",
                precision="int8",
                target="auto",
                calibration="digits",
                calibration_images=32,
                validation="digits",
                validation_images=8,
                max_queue=MAX_QUEUE,
                name=MODEL,
                repository=made.repository,
            )
            network = weights.load("random", find("resnet50")).network()
            torch.save(network.state_dict(), made.onnx.with_suffix(".pt"))
            made.onnx.write_bytes((made.repository / MODEL / "1" / "model.onnx").read_bytes())
        return made

    def samples(self) -> Mapping[str, tuple[bytes, ...]]:
        """By workload: the same photographs as pixels and as JPEG files of about 80 kB."""
        encoded = inputs.Signature(MODEL, "1", "", "image", "BYTES", (1,), 1)
        files = tuple(_jpeg(decode(file)) for file in inputs.samples(encoded).images)
        pixels = [Preprocessing().pixels(decode(file)).tobytes() for file in files]
        found = {TENSOR: tuple(pixels), JPEG: files}
        return {workload: found[workload] for workload in WORKLOADS}

    @cached_property
    def expected(self) -> Mapping[str, NDArray[np.float32]]:
        """What each runtime computes of the first image, in this process."""
        side = Preprocessing().crop
        image = np.frombuffer(self.samples()[TENSOR][0], np.uint8).reshape(1, *side, 3)
        found = {}
        for name in RUNTIMES:
            with runtimes.open_on_cpu(name, "int8", self.onnx.read_bytes(), host.cores()) as model:
                found[name] = model.run(image)[0]
        return found


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
