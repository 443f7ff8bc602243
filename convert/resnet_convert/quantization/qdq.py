"""Q/DQ pairs and quantized constants, as both quantizers insert them, and what they return.

    activation ─► QuantizeLinear ─► DequantizeLinear ─► readers
    stored integers ─► DequantizeLinear (axis 0) ─► Conv or Gemm

Reference: ONNX operators `QuantizeLinear` and `DequantizeLinear`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.initializers import initializer
from resnet_convert.graph.nodes import (
    COMPUTING,
    FUNCTIONS,
    dequantized_name,
    joins_images,
    rectifies,
)
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


@dataclass(frozen=True)
class Quantization:
    """What quantizing did to a graph.

    `layers` is how many have integer (or FP8) weights, `activations` how many tensors have a pair.
    `floating` names the layers that were not quantized, in the graph's order. Only u8 saturates at
    zero: `dropped_relus` is how many ReLUs that made superfluous. `coarsened_channels` had to take
    a larger weight scale for their bias to fit into 32 bits. `operators` are the kinds of operators
    without weights that compute in floating point nevertheless, such as LayerNormalization.
    """

    layers: int
    activations: int
    floating: tuple[str, ...] = ()
    dropped_relus: int = 0
    coarsened_channels: int = 0
    operators: tuple[str, ...] = ()


def floating_operators(graph: ir.Graph, normalising: frozenset[ir.Node]) -> tuple[str, ...]:
    """The kinds of operators that have no integer form here, sorted, but for the `normalising`."""
    kinds = COMPUTING | FUNCTIONS | {"ReduceMean"}
    return tuple(
        sorted(
            {
                node.op_type
                for node in graph
                if node.op_type in kinds
                and node not in normalising
                and not rectifies(node)
                and not joins_images(node)
            }
        )
    )


def insert_pair(
    graph: ir.Graph,
    value: ir.Value,
    scale: NDArray[np.float32],
    zero: NDArray[np.generic],
    *,
    name: str,
    uses: Iterable[tuple[ir.Node, int]],
) -> None:
    """Insert Q and DQ behind `value`, and make `uses` (reader, index of the input) read the result.

    `scale` is an FP32 scalar, `zero` a scalar of the stored type: UINT8, INT8 or FP8. The output of
    the pair is called `dequantized_name(name)`.
    """
    grid = (
        initializer(graph, f"{name}.scale", scale),
        initializer(graph, f"{name}.zero", zero),
    )
    quantize_node = ir.node("QuantizeLinear", [value, *grid], name=f"{name}.q")
    dequantize_node = ir.node(
        "DequantizeLinear", [quantize_node.outputs[0], *grid], name=dequantized_name(name)
    )
    for node, dtype in (
        (quantize_node, ir.DataType.from_numpy(zero.dtype)),
        (dequantize_node, ir.DataType.FLOAT),
    ):
        node.outputs[0].name = node.name
        node.outputs[0].shape, node.outputs[0].type = value.shape, ir.TensorType(dtype)
    producer = value.producer()
    if producer is None:
        graph.insert_before(graph[0], [quantize_node, dequantize_node])
    else:
        graph.insert_after(producer, [quantize_node, dequantize_node])
    for reader, index in uses:
        reader.replace_input_with(index, dequantize_node.outputs[0])


def insert_constant(
    graph: ir.Graph,
    node: ir.Node,
    name: str,
    integers: NDArray[np.generic],
    scale: NDArray[np.float32],
) -> ir.Value:
    """Store `integers` [channels, …] and their FP32 `scale` [channels], dequantized along axis 0.

    The DequantizeLinear goes right in front of `node`. Returns its FP32 output, which is called
    `dequantized_name(name)`.
    """
    stored = initializer(graph, f"{name}.q", integers)
    scales = initializer(graph, f"{name}.scale", scale)
    zeros = initializer(graph, f"{name}.zero", np.zeros(scale.shape, integers.dtype))
    dequantize_node = ir.node(
        "DequantizeLinear", [stored, scales, zeros], {"axis": 0}, name=dequantized_name(name)
    )
    output = dequantize_node.outputs[0]
    output.name = dequantize_node.name
    output.shape, output.type = ir.Shape(integers.shape), ir.TensorType(ir.DataType.FLOAT)
    graph.insert_before(node, dequantize_node)
    return output
