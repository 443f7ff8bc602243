"""Overflow: which modules FP16 cannot hold, measured on real images.

FP16 ends at 65504; a larger value becomes infinite and, a layer later, NaN. The folded FP32 graph
is run once, a segment at a time; `halve(…, keep=…)` then keeps the modules found here in FP32.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.half import LARGEST_FP16, PASSING
from resnet_convert.graph.initializers import array_of
from resnet_convert.graph.nodes import data_input, writer_of
from resnet_convert.graph.pixels import pixel_nodes
from resnet_convert.graph.segments.running import summarise
from resnet_serve.errors import UsageError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


@dataclass(frozen=True)
class Overflow:
    """A module beyond FP16: the largest magnitude of its output, and of its weights and bias."""

    module: str
    activation: float
    weights: float

    def to_json(self) -> dict[str, object]:
        """The fields, as the passport holds them."""
        return asdict(self)

    def __str__(self) -> str:
        found = []
        if self.activation > LARGEST_FP16:
            found.append(f"has outputs up to {self.activation:.4g}")
        if self.weights > LARGEST_FP16:
            found.append(f"has weights up to {self.weights:.4g}")
        return f"{self.module} {' and '.join(found)}; FP16 ends at {LARGEST_FP16:.0f}"


def scan(
    folded: ir.Model, batches: Iterable[NDArray[Any]], *, threads: int
) -> tuple[Overflow, ...]:
    """The modules whose outputs or weights exceed FP16, in the graph's order.

    `folded` is an FP32 graph, `batches` are those of its input, of any size. ReLUs and operators
    that only move values count as part of the module in front of them. Raises `UsageError` where
    there are no images.
    """
    graph = folded.graph
    normalising = pixel_nodes(graph)
    nodes = [node for node in graph if node not in normalising]
    outputs = {str(node.outputs[0].name): _module(node) for node in nodes}
    activation = dict.fromkeys(outputs.values(), 0.0)
    weights = dict.fromkeys(activation, 0.0)
    for node in nodes:
        for value in node.inputs:
            if value is not None and value.is_initializer() and value.dtype == ir.DataType.FLOAT:
                largest = _largest(array_of(value))
                weights[_module(node)] = max(weights[_module(node)], largest)
    images = 0
    for size, found in summarise(
        folded, outputs, batches, lambda _name, value, _: _largest(value), threads=threads
    ):
        images += size
        for name, largest in found.items():
            module = outputs[name]  # numpy's maximum keeps a NaN; Python's may drop it
            activation[module] = float(np.maximum(activation[module], largest))
    if not images:
        raise UsageError("no images to scan for overflow", remedy="Give a folder of images.")
    return tuple(
        Overflow(module, activation[module], weights[module])
        for module in activation
        if not (activation[module] <= LARGEST_FP16 and weights[module] <= LARGEST_FP16)
    )


def _largest(array: NDArray[Any]) -> float:
    return float(np.abs(array).max(initial=0.0))


def _module(node: ir.Node) -> str:
    """The name of the module whose values an operator passes on."""
    while node.op_type in PASSING:
        writer = writer_of(data_input(node))
        if writer is None:
            break
        node = writer
    return str(node.name)
