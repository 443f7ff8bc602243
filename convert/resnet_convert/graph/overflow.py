"""Overflow: which modules FP16 could not hold, seen on real images.

FP16 ends at 65504; what is larger becomes infinite and, one layer on, not a number. The folded FP32
graph is run once, a segment at a time; `halve(…, keep=…)` then keeps the modules that are named
here in FP32.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.half import LARGEST_FP16, PASSING, pixel_arithmetic
from resnet_convert.graph.initializers import array_of
from resnet_convert.graph.nodes import data_input
from resnet_convert.graph.segments import walk
from resnet_serve.errors import UsageError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


@dataclass(frozen=True)
class Overflow:
    """A module beyond FP16: the largest magnitude of what it answers, and of its constants."""

    module: str
    activation: float
    weights: float

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    def __str__(self) -> str:
        found = []
        if self.activation > LARGEST_FP16:
            found.append(f"answers up to {self.activation:.4g}")
        if self.weights > LARGEST_FP16:
            found.append(f"has weights up to {self.weights:.4g}")
        return f"{self.module} {' and '.join(found)}; FP16 ends at {LARGEST_FP16:.0f}"


def scan(
    folded: ir.Model, batches: Iterable[NDArray[Any]], *, threads: int
) -> tuple[Overflow, ...]:
    """The modules whose activations or weights exceed FP16, in the graph's order.

    A ReLU, and what only moves values, counts to the module that wrote them.
    """
    graph = folded.graph
    pixels = pixel_arithmetic(graph)
    nodes = [node for node in graph if node not in pixels]
    outputs = {str(node.outputs[0].name): _module(node) for node in nodes}
    activation = dict.fromkeys(outputs.values(), 0.0)
    weights = dict.fromkeys(activation, 0.0)
    for node in nodes:
        for value in node.inputs:
            if value is not None and value.is_initializer() and value.dtype == ir.DataType.FLOAT:
                largest = float(np.abs(array_of(value)).max(initial=0.0))
                weights[_module(node)] = max(weights[_module(node)], largest)
    images = 0
    with walk(folded, outputs, threads=threads) as segments:
        for batch in batches:
            images += len(batch)
            for seen in segments.run(batch):
                for name, array in seen.shown.items():
                    module = outputs[name]
                    # numpy's maximum keeps a NaN, which is no FP16 number either
                    largest = float(np.abs(array).max(initial=0.0))
                    activation[module] = float(np.maximum(activation[module], largest))
    if not images:
        raise UsageError("no images to scan for overflow", remedy="Give a folder of images.")
    return tuple(
        Overflow(module, activation[module], weights[module])
        for module in activation
        if not (activation[module] <= LARGEST_FP16 and weights[module] <= LARGEST_FP16)
    )


def _module(node: ir.Node) -> str:
    """The name of who computed what an operator passes on."""
    while node.op_type in PASSING:
        writer = data_input(node).producer()
        if writer is None:
            break
        node = writer
    return str(node.name)
