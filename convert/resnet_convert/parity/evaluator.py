"""Evaluator: how much of the reference a graph keeps, measured for every graph of a search.

The reference's logits of the validation images are computed once. Every graph runs in its target's
runtime, or in an emulation that rounds as its types say, and is timed against the first graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.emulate import emulated
from resnet_convert.graph.trace import serialize
from resnet_convert.parity import measure
from resnet_convert.quantization.mixed_precision import Evaluation
from resnet_convert.request import Request
from resnet_serve.datasets import Images
from resnet_serve.datasets.selection import spread
from resnet_serve.parity import latency
from resnet_serve.runtimes import RunnableModel, open_on_cpu
from resnet_serve.weights import Weights

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn

IMAGES = 512
LATENCY_SECONDS = 0.6


@dataclass
class Evaluator:
    """`batches` are the graph's inputs, `logits` the reference's answers to all of them."""

    request: Request
    threads: int
    batches: list[NDArray[Any]]
    logits: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    _first: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, request: Request, network: nn.Module, loaded: Weights, images: Images, threads: int
    ) -> Evaluator:
        """Over at most 512 of the images, evenly chosen."""
        chosen = spread(images, IMAGES)
        pairs = list(measure.reference(network, loaded, chosen, threads))
        return cls(
            request,
            threads,
            [measure.taken(request.input, pixels, loaded.preprocessing) for pixels, _ in pairs],
            np.concatenate([logits for _, logits in pairs]),
            chosen.labels,
        )

    def evaluate(self, model: ir.Model) -> Evaluation:
        """Run it over all images; on a CPU's own runtime also how much slower than the first."""
        data = emulated(model) if self.request.for_tensorrt else serialize(model)
        with self._runtime(data) as runtime:
            converted = np.concatenate([runtime.run(batch) for batch in self.batches])
        ratio = None
        if not self.request.for_tensorrt:
            self._first = self._first or data
            ratio = 1.0 if data == self._first else self._ratio(data)
        return Evaluation.of(self.logits, converted, self.labels, latency_ratio=ratio)

    def _ratio(self, data: bytes) -> float:
        image = self.batches[0][:1]
        with self._runtime(self._first or data) as first, self._runtime(data) as other:
            times = latency.measure(
                {"first": partial(first.run, image), "other": partial(other.run, image)},
                batch_size=1,
                seconds=LATENCY_SECONDS,
            )
        return 1 / latency.speedup(times["first"], times["other"]).median

    @contextmanager
    def _runtime(self, data: bytes) -> Iterator[RunnableModel]:
        name = "onnxruntime" if self.request.for_tensorrt else self.request.row.name
        with open_on_cpu(name, self.request.precision, data, self.threads) as runtime:
            yield runtime
