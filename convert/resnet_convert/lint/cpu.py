"""Lint for INT8 graphs for CPUs: what keeps u8 × s8 in integers.

ONNX Runtime and OpenVINO also run graphs that break these rules, slowly in FP32, or with other
results; so every INT8 graph for a CPU is checked against them before it is written. They are the
rules of `quantization/u8s8.py`, checked on the finished graph:
C1  Activations are u8, with one constant scale and zero point per tensor.
C2  Weights are stored s8, −127…127, with a scale per output channel and zero points of zero.
C3  A Conv or Gemm with quantized weights reads a quantized input. (Not the other way round: a layer
    that stays floating for a kept one reads its input as before, rule 8 of `u8s8.py`.)
C4  The output of a quantized Conv or Gemm is read by one QuantizeLinear, or is one of the graph's.
C5  An Add of two images has both of them quantized, or neither.
C6  Biases are s32, with scale(input)·scale(weight) to the bit.
C7  MaxPool, Flatten, Slice, Transpose and the like between two pairs have one grid on both sides.
C8  Outputs are FP32, and are not written by a DequantizeLinear.
C9  Every Q is followed by its DQs, on the same grid.
C10 Weights and biases are finite numbers.
Reference: ONNX Runtime, "Quantize ONNX models" (QDQ format), and its selectors
(`core/optimizer/qdq_transformer/selectors_actions`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.initializers import array_of
from resnet_convert.graph.nodes import (
    WEIGHTED,
    dequantizer,
    dtype_of,
    element_types,
    joins_images,
    layer_of,
    moves,
    readers_of,
)
from resnet_convert.lint import placement
from resnet_convert.lint.placement import same_grid
from resnet_convert.lint.rules import Breach, Rule, RuleSet
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")


def _activations(model: ir.Model) -> Iterator[Breach]:
    for node in model.graph:
        if node.op_type != "QuantizeLinear":
            continue
        scale, zero = (*node.inputs[1:], None)[:2]
        if scale is None or zero is None or scale.const_value is None or zero.const_value is None:
            yield layer_of(node), "its scale or its zero point is not a constant"
            continue
        numbers = array_of(scale).astype(np.float64)
        if dtype_of(zero) != ir.DataType.UINT8:
            yield layer_of(node), f"its activations are {dtype_of(zero)}, not UINT8"
        elif numbers.size != 1:
            yield layer_of(node), "its activations have a scale per channel, not one"
        elif not _positive(numbers):
            yield layer_of(node), "its scale is not a positive, finite number"


def _weights(model: ir.Model) -> Iterator[Breach]:
    for node, _, weight, _ in _quantized(model):
        stored, scale, zero = weight.inputs[:3]
        if stored is None or stored.const_value is None or dtype_of(stored) != ir.DataType.INT8:
            yield str(node.name), "its weights are not stored as INT8"
            continue
        integers = array_of(stored)
        if (integers == -128).any():
            yield str(node.name), "a weight is −128, outside −127…127"
        if zero is not None and array_of(zero).any():
            yield str(node.name), "its weights have zero points other than zero"
        count = 0 if scale is None or scale.const_value is None else scale.const_value.size
        if count != len(integers) or weight.attributes.get_int("axis") != 0:
            yield str(node.name), "its weights have no scale per output channel"
        elif scale is not None and not _positive(array_of(scale)):
            yield str(node.name), "a scale of its weights is not a positive, finite number"


def _positive(numbers: NDArray[np.float32] | NDArray[np.float64]) -> bool:
    return bool((np.isfinite(numbers) & (numbers > 0)).all())


def _inputs(model: ir.Model) -> Iterator[Breach]:
    for node in model.graph:
        sides = node.inputs[:2] if node.op_type in WEIGHTED else ()
        if [dequantizer(value) is None for value in sides] == [True, False]:
            yield str(node.name), "its weights are quantized and its input is not"


def _followed(model: ir.Model) -> Iterator[Breach]:
    for node, *_ in _quantized(model):
        written = node.outputs[0]
        readers = [reader.op_type for reader in readers_of(written)]
        if readers != ["QuantizeLinear"] and not (written.is_graph_output() and not readers):
            found = ", ".join(sorted(set(readers))) or "nothing"
            yield str(node.name), f"its output is read by {found}, not by one QuantizeLinear"


def _additions(model: ir.Model) -> Iterator[Breach]:
    for node in model.graph:
        if joins_images(node) and len({dequantizer(value) is None for value in node.inputs}) == 2:
            yield str(node.name), "one operand is quantized and the other is not"


def _biases(model: ir.Model) -> Iterator[Breach]:
    for node, given, weight, bias in _quantized(model):
        if bias is None:
            if len(node.inputs) > 2 and node.inputs[2] is not None:
                yield str(node.name), "its bias is not quantized"
            continue
        stored, scale, zero = bias.inputs[:3]
        factors = (given.inputs[1], weight.inputs[1], scale)
        if dtype_of(stored) != ir.DataType.INT32:
            yield str(node.name), "its bias is not INT32"
        elif zero is not None and array_of(zero).any():
            yield str(node.name), "its bias has zero points other than zero"
        elif any(value is None or value.const_value is None for value in factors):
            yield str(node.name), "one of its scales is computed, not constant"
        else:
            of_input, of_weight, found = (array_of(v) for v in factors if v is not None)
            if not np.array_equal(np.float32(of_input) * of_weight.astype(np.float32), found):
                yield str(node.name), "the scale of its bias is not that of input times weights"


def _moved(model: ir.Model) -> Iterator[Breach]:
    for node in model.graph:
        before = dequantizer(node.inputs[0]) if moves(node) else None
        if before is None:
            continue
        for reader in readers_of(node.outputs[0]):
            if reader.op_type == "QuantizeLinear" and not same_grid(reader, before):
                yield str(node.name), "moves values from one grid to another"


def _outputs(model: ir.Model) -> Iterator[Breach]:
    yield from placement.floating_outputs(model, element_types(model.graph))
    for value in model.graph.outputs:
        if dequantizer(value) is not None:
            yield str(value.name), "the output is rounded to integers"


def _quantized(
    model: ir.Model,
) -> Iterator[tuple[ir.Node, ir.Node, ir.Node, ir.Node | None]]:
    """Every Conv and Gemm in integers, with the DQs of its input, its weights and its bias."""
    for node in model.graph:
        if node.op_type not in WEIGHTED:
            continue
        given, weight = (dequantizer(value) for value in node.inputs[:2])
        if given is not None and weight is not None:
            yield node, given, weight, dequantizer(node.inputs[2] if node.inputs[2:] else None)


_REPORT = "This is a bug in our INT8 placement; please report the architecture."
RULES = RuleSet(
    "INT8",
    (
        Rule("C1", _activations, _REPORT),
        Rule("C2", _weights, _REPORT),
        Rule("C3", _inputs, _REPORT),
        Rule("C4", _followed, _REPORT),
        Rule("C5", _additions, _REPORT),
        Rule("C6", _biases, _REPORT),
        Rule("C7", _moved, _REPORT),
        Rule("C8", _outputs, _REPORT),
        Rule("C9", placement.paired, _REPORT),
        Rule("C10", placement.finite, "Train the network again: its weights are damaged."),
    ),
)
