"""Constants of a graph: read them, replace them, register them, drop the ones nobody reads."""

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


def own_initializer(node: ir.Node, index: int) -> ir.Value:
    """Input `index` of a node, which must be an initializer that no other node reads."""
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


def array_of(value: ir.Value) -> NDArray[np.float32]:
    """The constant of an initializer."""
    if value.const_value is None:
        raise ConversionError(f"{value.name!r} is not a constant", where="graph")
    return np.asarray(value.const_value.numpy())


def assign(value: ir.Value, array: NDArray[np.generic]) -> None:
    """Give an initializer another constant, with its type and shape."""
    tensor = ir.tensor(np.array(array, order="C"), name=value.name)
    value.const_value = tensor
    value.shape, value.type = ir.Shape(array.shape), ir.TensorType(tensor.dtype)


def initializer(graph: ir.Graph, name: str, array: NDArray[np.generic]) -> ir.Value:
    """Register a constant under `name`, or the next free name after it."""
    while name in graph.initializers:
        name += "_"
    value = ir.Value(name=name)
    assign(value, array)
    graph.register_initializer(value)
    return value


def remove(graph: ir.Graph, node: ir.Node) -> None:
    """Remove a node and the initializers that only it read."""
    constants = [value for value in node.inputs if value is not None and value.is_initializer()]
    graph.remove(node, safe=True)
    for value in constants:
        if not value.uses() and value.name is not None:
            graph.initializers.pop(value.name, None)
