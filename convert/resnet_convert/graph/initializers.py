"""Constants of a graph: read, replace, add and remove them.

ONNX calls a constant with a name an initializer. A model and its `clone()` share their arrays, so
no pass writes into one: `array_of` returns it read-only, and `assign` replaces it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


def array_of(value: ir.Value) -> NDArray[np.float32]:
    """The array of an initializer, read-only, in its own shape and type.

    Raises `ConversionError` for a tensor that is computed.
    """
    if value.const_value is None:
        raise ConversionError(f"{value.name!r} is not a constant", where="graph")
    array: NDArray[np.float32] = np.asarray(value.const_value.numpy()).view()
    array.setflags(write=False)
    return array


def own_initializer(node: ir.Node, index: int) -> ir.Value:
    """Input `index` of a node, which must be an initializer that no other node reads.

    Raises `ConversionError` for a computed or missing input, and for a shared one: a change made
    for this node would change the others too.
    """
    value = node.inputs[index]
    if value is None or value.const_value is None:
        raise ConversionError(
            f"input {index} is not a constant", where=f"{node.name} ({node.op_type})"
        )
    readers = sorted({str(use.node.name) for use in value.uses()})
    if len(value.uses()) > 1:
        raise ConversionError(
            f"the initializer {value.name!r} is shared by {', '.join(readers)}",
            where=node.name,
            remedy="Give each layer its own copy of the tensor.",
        )
    return value


def assign(value: ir.Value, array: NDArray[np.generic]) -> None:
    """Replace the array of an initializer by a copy of `array`, with its type and shape."""
    tensor = ir.Tensor(np.array(array, order="C"), name=value.name)
    value.const_value = tensor
    value.shape, value.type = ir.Shape(array.shape), ir.TensorType(tensor.dtype)


def initializer(graph: ir.Graph, name: str, array: NDArray[np.generic]) -> ir.Value:
    """Add a constant to the graph, as `name` or, where that is in use, `name_`, `name__`, …"""
    while name in graph.initializers:
        name += "_"
    value = ir.Value(name=name)
    assign(value, array)
    graph.register_initializer(value)
    return value


def bias_of(node: ir.Node) -> NDArray[np.float32] | None:
    """The bias [channels] of a Conv or Gemm, None where it has none.

    Raises `ConversionError` for a bias that is computed or shared.
    """
    return array_of(own_initializer(node, 2)) if len(node.inputs) > 2 else None


def set_bias(graph: ir.Graph, node: ir.Node, bias: NDArray[np.float32]) -> None:
    """Replace the bias of a Conv or Gemm, or give it one, `<layer>.bias`."""
    if len(node.inputs) > 2:
        assign(own_initializer(node, 2), bias)
        return
    node.resize_inputs(3)
    node.replace_input_with(2, initializer(graph, f"{node.name}.bias", bias))


def drop_unread(graph: ir.Graph, values: list[ir.Value | None]) -> None:
    """Remove those of the values that are initializers and have no reader left."""
    for value in values:
        if value is not None and value.is_initializer() and not value.uses() and value.name:
            graph.initializers.pop(value.name, None)


def remove(graph: ir.Graph, node: ir.Node) -> None:
    """Remove a node whose outputs nobody reads, and the initializers that only it read."""
    inputs = list(node.inputs)
    graph.remove(node, safe=True)
    drop_unread(graph, inputs)
