"""Placement: rules on where the Q/DQ pairs of a finished graph are.

Every function yields the breaches of one rule; `tensorrt.py` and `cpu.py` give it a number and a
remedy.
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
    dtype_of,
    layer_of,
    qdq_nodes,
    quantizer,
    readers_of,
    writer_of,
)
from resnet_convert.graph.shortcut import shortcut
from resnet_convert.lint.rules import Breach
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


# Operators whose constants were trained.
PARAMETERIZED = WEIGHTED | {"BatchNormalization", "ConvTranspose", "MatMul", "PRelu"}


def both_sides(model: ir.Model) -> Iterator[Breach]:
    """A Conv or Gemm has both its input and its weights quantized, in one type, or neither."""
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
    """Of the Add that quantized convolutions end in, exactly one operand carries a pair."""
    for node, quantized in _fusing_additions(model):
        if len(quantized) != 1:
            found = "both operands carry" if quantized else "no operand carries"
            yield str(node.name), f"{found} a Q/DQ pair"


def uninterrupted(model: ir.Model) -> Iterator[Breach]:
    """No pair inside of what TensorRT fuses into one kernel: Conv, Add, ReLU."""
    for node in model.graph:
        given = dequantizer(node.inputs[0]) if node.op_type == "Relu" else None
        quantize = None if given is None else quantizer(given.inputs[0])
        if quantize is not None:
            before = writer_of(quantize.inputs[0])
            if before is not None and before.op_type in (*WEIGHTED, "Add"):
                yield str(before.name), f"a Q/DQ pair is between it and its ReLU {node.name}"
    for node, quantized in _fusing_additions(model):
        if len(quantized) == 1 and quantized != [shortcut(node)]:
            yield str(node.name), "the main path carries the Q/DQ pair, not the shortcut"


def paired(model: ir.Model) -> Iterator[Breach]:
    """The output of a Q is read by DQs of the same grid only; a DQ reads that of a Q, or stored
    integers.
    """
    for node in qdq_nodes(model):
        if node.op_type == "QuantizeLinear":
            readers = readers_of(node.outputs[0])
            others = [reader for reader in readers if reader.op_type != "DequantizeLinear"]
            if others or node.outputs[0].is_graph_output():
                yield str((others or [node])[0].name), "reads integers without a DequantizeLinear"
            elif not readers:
                yield str(node.name), "is a QuantizeLinear that nothing reads"
            elif any(not same_grid(node, reader) for reader in readers):
                yield layer_of(node), "is read through a Q and a DQ of different scales"
        else:
            stored = node.inputs[0]
            if quantizer(stored) is None and not (stored is not None and stored.is_initializer()):
                yield layer_of(node), "is read through a DequantizeLinear without its Q"


def finite(model: ir.Model) -> Iterator[Breach]:
    """Weights, biases and the constants of normalizations are numbers, none NaN or infinite."""
    for node in model.graph:
        if node.op_type not in PARAMETERIZED:
            continue
        for value in map(before_pair, node.inputs):
            if value is None or value.const_value is None:
                continue
            if isinstance(value.const_value, ir.ExternalTensor):
                continue  # its file may be missing
            if not np.isfinite(array_of(value)).all():
                yield str(node.name), f"{value.name} contains NaN or infinity"


def floating_outputs(
    model: ir.Model, types: Mapping[ir.Value, ir.DataType | None]
) -> Iterator[Breach]:
    """The outputs of a network are FP32; `types` are those of `element_types`."""
    for value in model.graph.outputs:
        if str(types.get(value)) != "FLOAT":
            yield str(value.name), f"the output is {types.get(value)}, not FP32"


def _fusing_additions(model: ir.Model) -> Iterator[tuple[ir.Node, list[int]]]:
    """The Adds that only quantized convolutions end in, and which of their operands have a pair."""
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
        # Where one of them stays floating, the Add may be floating too.
        if all(dequantizer(writer.inputs[0]) for writer in convolutions):
            yield node, [i for i, value in enumerate(node.inputs) if dequantizer(value)]


def _stored_type(node: ir.Node) -> ir.DataType | None:
    return dtype_of(node.inputs[2] if len(node.inputs) > 2 else node.inputs[0])


def same_grid(first: ir.Node, second: ir.Node) -> bool:
    """Whether two Q or DQ have the same scale and zero point: one tensor, or equal constants."""
    return len(first.inputs) == len(second.inputs) and all(
        _same(one, other) for one, other in zip(first.inputs[1:], second.inputs[1:], strict=True)
    )


def _same(one: ir.Value | None, other: ir.Value | None) -> bool:
    if one is other or one is None or other is None:
        return one is other
    if not _constant((one, other)):
        return False
    return dtype_of(one) == dtype_of(other) and np.array_equal(array_of(one), array_of(other))


def _constant(values: Iterable[ir.Value]) -> bool:
    return all(value.const_value is not None for value in values)
