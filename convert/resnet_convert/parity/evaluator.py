"""Evaluator: how much of the reference a graph keeps, measured for every graph of a search.

The reference's logits of the validation images are recorded once. Every graph runs in its target's
runtime, or in an emulation that rounds as its types say, and is timed against the first graph.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.emulate import emulated
from resnet_convert.graph.model_file import serialize
from resnet_convert.parity.reference import Reference
from resnet_convert.parity.reference_outputs import ReferenceOutputs
from resnet_convert.quantization.budgets import Evaluation
from resnet_convert.request import Request
from resnet_serve.comparison.distances import BATCH_SIZE
from resnet_serve.datasets import Images
from resnet_serve.datasets.selection import spread
from resnet_serve.parity import latency
from resnet_serve.runtimes import RunnableModel, open_on_cpu

if TYPE_CHECKING:
    import onnx_ir as ir

IMAGES = 512
LATENCY_SECONDS = 0.6


@dataclass
class Evaluator:
    """Evaluates graphs for the CPU runtime `target` in `precision`, on recorded outputs.

    With `emulating`, for graphs that a GPU will run, ONNX Runtime rounds where the graph's types
    say, and nothing is timed.
    """

    recorded: ReferenceOutputs
    target: str
    precision: str
    threads: int
    emulating: bool = False
    _first: bytes | None = field(default=None, repr=False)

    @cached_property
    def batches(self) -> list[NDArray[Any]]:
        """All images as the graphs take them, 8 at a time."""
        pixels = self.recorded.pixels
        return [
            self.recorded.to_input(pixels[at : at + BATCH_SIZE])
            for at in range(0, len(pixels), BATCH_SIZE)
        ]

    def evaluate(self, model: ir.Model) -> Evaluation:
        """Run a graph over all images; on a CPU also time it against the first one."""
        data = emulated(model) if self.emulating else serialize(model)
        with self._open(data) as runtime:
            converted = np.concatenate([runtime.run(batch) for batch in self.batches])
        ratio = None
        if not self.emulating:
            self._first = self._first or data
            ratio = 1.0 if data == self._first else self._ratio(data)
        return Evaluation.of(
            self.recorded.logits,
            converted,
            self.recorded.labels,
            latency_ratio=ratio,
            activation=self.recorded.activation,
        )

    def _ratio(self, data: bytes) -> float:
        image = self.batches[0][:1]
        with self._open(self._first or data) as first, self._open(data) as other:
            times = latency.measure(
                {"first": partial(first.run, image), "other": partial(other.run, image)},
                batch_size=1,
                seconds=LATENCY_SECONDS,
            )
        return 1 / latency.speedup(times["first"], times["other"]).median

    def _open(self, data: bytes) -> RunnableModel:
        return open_on_cpu(self.target, self.precision, data, self.threads)


def for_budgets(request: Request, reference: Reference, images: Images) -> Evaluator | None:
    """For a request with budgets, over at most 512 of the images, evenly chosen; else None."""
    if not (request.budgeted and request.precision_row.quantized):
        return None
    return Evaluator(
        ReferenceOutputs.record(reference, spread(images, IMAGES)),
        "onnxruntime" if request.for_tensorrt else request.row.name,
        request.precision,
        reference.threads,
        emulating=request.for_tensorrt,
    )
