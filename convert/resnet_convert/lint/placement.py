"""Where Q/DQ pairs stand: TensorRT's rules about them, read on the finished graph.

Every rule yields the layers that break it, in PyTorch's names, with what is wrong there; `lint.py`
numbers them and says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from resnet_convert.graph.initializers import array_of
from resnet_convert.graph.nodes import (
    WEIGHTED,
    before_pair,
    dequantizer,
    layer_of,
    qdq_nodes,
    shortcut,
    writer_of,
)
from resnet_convert.lint.rules import Breach
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


def both_sides(model: ir.Model) -> Iterator[Breach]:
    """A Conv or Gemm multiplies integers only when input and weights are quantized alike."""
    for node in model.graph:
        if node.op_type not in WEIGHTED:
            continue
        given, weight = (dequantizer(value) for value in node.inputs[:2])
        if (given is None) != (weight is None):
            lacking = "its input is not" if given is None else "its weights are not"
            yield str(node.name), f"one side is quantized and {lacking}"
        elif given is not None and weight is not None:
            found = {str(_stored_type(side)) for side in (given, weight)}
            if found == {"INT8", "FLOAT8E4M3FN"}:
                yield str(node.name), "INT8 would be multiplied by FP8"


def additions(model: ir.Model) -> Iterator[Breach]:
    """A quantized convolution fuses with its Add when exactly the other operand is quantized."""
    for node, quantized in _fusing_additions(model):
        if len(quantized) != 1:
            found = "both operands carry" if quantized else "no operand carries"
            yield str(node.name), f"{found} a Q/DQ pair"


def uninterrupted(model: ir.Model) -> Iterator[Breach]:
    """No pair inside what becomes one kernel: Conv, Add, ReLU."""
    for node in model.graph:
        given = dequantizer(node.inputs[0]) if node.op_type == "Relu" else None
        quantizer = None if given is None else writer_of(given.inputs[0])
        if quantizer is not None and quantizer.op_type == "QuantizeLinear":
            before = writer_of(quantizer.inputs[0])
            if before is not None and before.op_type in (*WEIGHTED, "Add"):
                yield str(before.name), f"a Q/DQ pair parts it from its ReLU {node.name}"
    for node, quantized in _fusing_additions(model):
        if len(quantized) == 1 and quantized != [shortcut(node)]:
            yield str(node.name), "the main path carries the Q/DQ pair, not the shortcut"


def paired(model: ir.Model) -> Iterator[Breach]:
    """What Q writes is read by DQs of the same grid only; what DQ reads, Q wrote or is stored."""
    for node in qdq_nodes(model):
        if node.op_type == "QuantizeLinear":
            readers = [use.node for use in node.outputs[0].uses()]
            others = [reader for reader in readers if reader.op_type != "DequantizeLinear"]
            if others or node.outputs[0].is_graph_output():
                yield str((others or [node])[0].name), "reads integers without a DequantizeLinear"
            elif not readers:
                yield str(node.name), "is a QuantizeLinear that nothing reads"
            elif any(not same_grid(node, reader) for reader in readers):
                yield layer_of(node), "is read through a Q and a DQ of different scales"
        else:
            stored = node.inputs[0]
            quantizer = writer_of(stored)
            if (quantizer is None or quantizer.op_type != "QuantizeLinear") and not (
                stored is not None and stored.is_initializer()
            ):
                yield layer_of(node), "is read through a DequantizeLinear without its Q"


def floating_outputs(
    model: ir.Model, types: Mapping[ir.Value, ir.DataType | None]
) -> Iterator[Breach]:
    """Whoever asks a network gets FP32; `types` are those of `element_types`."""
    for value in model.graph.outputs:
        if str(types.get(value)) != "FLOAT":
            yield str(value.name), f"the output is {types.get(value)}, not FP32"


def _fusing_additions(model: ir.Model) -> Iterator[tuple[ir.Node, list[int]]]:
    """The Adds that quantized convolutions end in, and which of their operands carry a pair."""
    for node in model.graph:
        if node.op_type != "Add" or shortcut(node) is None:
            continue
        writers = [writer_of(before_pair(value)) for value in node.inputs]
        # Behind a Cast the Add computes in another type than the convolution, apart from it.
        if any(writer is not None and writer.op_type == "Cast" for writer in writers):
            continue
        convolutions = [
            writer for writer in writers if writer is not None and writer.op_type == "Conv"
        ]
        # Where one of them stays floating, so may the Add.
        if all(dequantizer(writer.inputs[0]) for writer in convolutions):
            yield node, [i for i, value in enumerate(node.inputs) if dequantizer(value)]


def _stored_type(node: ir.Node) -> ir.DataType | None:
    zero = node.inputs[2] if len(node.inputs) > 2 else node.inputs[0]
    return None if zero is None else zero.dtype


def same_grid(quantizer: ir.Node, reader: ir.Node) -> bool:
    """Whether a Q and a DQ have constants of the same numbers and types, or share them."""
    return len(quantizer.inputs) == len(reader.inputs) and all(
        _same(one, other)
        for one, other in zip(quantizer.inputs[1:], reader.inputs[1:], strict=True)
    )


def _same(one: ir.Value | None, other: ir.Value | None) -> bool:
    if one is other or one is None or other is None:
        return one is other
    if not _constant((one, other)):
        return False
    return one.dtype == other.dtype and np.array_equal(array_of(one), array_of(other))


def _constant(values: Iterable[ir.Value]) -> bool:
    return all(value.const_value is not None for value in values)
