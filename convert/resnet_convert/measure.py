"""Measure a converted model against the reference: logits, decisions, latency.

The reference gets the pixels normalised by `Preprocessing.normalize`, the converted model what it
will get when served: so the comparison covers the normalisation that moved into the graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.datasets import Images, pixel_batches
from resnet_serve.parity import accuracy, latency, numerics
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.runtimes import pytorch as pytorch_runtime
from resnet_serve.weights import Weights

if TYPE_CHECKING:
    from torch import nn

    from resnet_convert.journey import Progress
    from resnet_convert.request import Request

BATCH_SIZE = 8
SINGLES = 8
LATENCY_SECONDS = 3.0


@dataclass(frozen=True)
class Measurements:
    """Logits of both networks over the validation images, and what follows from them."""

    images: str
    images_sha256: str
    reference_logits: NDArray[np.float32]
    converted_logits: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    numerics: dict[int, numerics.Numerics]
    decisions: accuracy.Decisions
    compiled: dict[str, int]
    latencies: dict[str, latency.Latency]

    @property
    def reference_latency(self) -> latency.Latency:
        return self.latencies["pytorch"]

    @property
    def converted_latency(self) -> latency.Latency:
        return self.latencies["onnxruntime"]

    @cached_property
    def speedup(self) -> latency.Ratio:
        return latency.speedup(self.reference_latency, self.converted_latency)

    @property
    def integer_convolutions(self) -> int:
        return sum(self.compiled.get(k, 0) for k in onnxruntime_runtime.INTEGER_CONVOLUTIONS)

    def warnings(self, precision: str) -> list[str]:
        """What the numbers say against the chosen precision."""
        found = []
        if self.speedup.slower:
            found.append(
                f"{precision} is slower than PyTorch here ({self.speedup.median:.2f}×): "
                "keep another precision for this host"
            )
        if self.speedup.high > 1.5 * self.speedup.low:
            found.append(
                f"the speed-up is anywhere in {self.speedup.low:.1f}–{self.speedup.high:.1f}×: "
                "this host is busy; measure again when it is idle"
            )
        floating = self.compiled.get("Conv", 0) + self.compiled.get("FusedConv", 0)
        if precision == "int8" and floating:
            found.append(f"{floating} convolutions did not compile to INT8")
        if precision == "fp16":
            found.append(
                "ONNX Runtime computes FP16 graphs in FP32 on this CPU: smaller, not faster"
            )
        return found


def inputs(
    images: Images, loaded: Weights, request: Request, *, size: int = 4
) -> Iterator[NDArray[Any]]:
    """Batches as the converted graph takes them: pixels, or normalised planes."""
    for pixels in pixel_batches(images, loaded.preprocessing, size):
        yield pixels if request.input == "uint8" else loaded.preprocessing.normalize(pixels)


def decisions(
    network: nn.Module,
    model: bytes,
    loaded: Weights,
    images: Images,
    request: Request,
    threads: int,
    progress: Progress,
) -> Measurements:
    """Run both networks over the validation images, at batch 1 (a few) and batch 8 (all)."""
    total = len(images)
    reference = pytorch_runtime.load(network, threads=threads)
    theirs: list[NDArray[np.float32]] = []
    ours: list[NDArray[np.float32]] = []
    singles: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = ([], [])
    with onnxruntime_runtime.load(model, threads=threads) as converted:
        for pixels in pixel_batches(images, loaded.preprocessing, BATCH_SIZE):
            planes = loaded.preprocessing.normalize(pixels)
            batch = pixels if request.input == "uint8" else planes
            theirs.append(reference.run(planes))
            ours.append(converted.run(batch))
            for index in range(min(SINGLES - len(singles[0]), len(batch))):
                singles[0].append(reference.run(planes[index : index + 1]))
                singles[1].append(converted.run(batch[index : index + 1]))
            progress.advance(sum(map(len, theirs)), total)
    logits, converted_logits = np.concatenate(theirs), np.concatenate(ours)
    labels = None if images.labels is None else images.labels[:total]
    return Measurements(
        images=images.name,
        images_sha256=images.digest(),
        reference_logits=logits,
        converted_logits=converted_logits,
        labels=labels,
        numerics={
            1: numerics.compare(np.concatenate(singles[0]), np.concatenate(singles[1])),
            BATCH_SIZE: numerics.compare(logits, converted_logits),
        },
        decisions=accuracy.decide(logits, converted_logits, labels),
        compiled=dict(onnxruntime_runtime.compiled_operators(model)),
        latencies={},
    )


def latencies(
    measurements: Measurements,
    network: nn.Module,
    model: bytes,
    loaded: Weights,
    request: Request,
    threads: int,
) -> Measurements:
    """Add latencies at batch 1, both networks in turn on the same cores."""
    height, width = loaded.preprocessing.crop
    pixels = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    planes = loaded.preprocessing.normalize(pixels)
    batch = pixels if request.input == "uint8" else planes
    reference = pytorch_runtime.load(network, threads=threads)
    with onnxruntime_runtime.load(model, threads=threads) as converted:
        found = latency.measure(
            {
                "pytorch": lambda: reference.run(planes),
                "onnxruntime": lambda: converted.run(batch),
            },
            batch_size=1,
            seconds=LATENCY_SECONDS,
        )
    return replace(measurements, latencies=found)
