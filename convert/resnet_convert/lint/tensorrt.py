"""Lint for TensorRT: its rules, checked on the ONNX graph before an engine is built from it.

TensorRT refuses some of the breaches, with the parser's message, and builds a slow or wrong engine
from the others without a warning.
T1   Q/DQ pairs are symmetric INT8 or FP8: zero points of zero.
T2   Integers come from Q/DQ pairs only, not from operators such as QLinearConv.
T3   Scales are positive constants: one scalar of an activation, one per channel of weights.
T4   Weights have a scale per output channel, axis 0.
T5   Biases are floating-point constants.
T6   Opset 7 to 25 of ONNX's own operators; 13 and up where scales are per channel, 19 and up where
     they have 16 bits.
T7   A Conv or Gemm has both its input and its weights quantized, in one type, or neither.
T8   Of the Add that quantized convolutions end in, exactly one operand carries a pair.
T9   No pair between a Conv or an Add and its ReLU; an Add's pair is on the shortcut.
T10  No operator mixes floating types; inputs are UINT8 or FP32, outputs FP32.
T11  Every dimension of inputs and outputs is fixed, except the batch.
T12  Only operators that TensorRT is known to take, without functions, dilated pools and external
     data.
T13  Every Q is followed by its DQs, on the same grid.
T14  UINT8 pixels are cast before anything is computed from them.
T15  Weights and biases are finite numbers.
T16  There is at least one output, and none is listed twice.
What TensorRT-RTX 1.7's real parser and builder make of graphs that break each rule is the table of
`tests/convert/lint/test_real_parser.py`.
References: TensorRT developer guide ("Working with Quantized Types", "Q/DQ Layer-Placement
Recommendations", "Strongly Typed Networks"), onnx-tensorrt's operators.md (TensorRT 10.15) and the
checks of its QuantizeLinear and DequantizeLinear importer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resnet_convert.graph.initializers import array_of
from resnet_convert.graph.nodes import (
    COMPUTING,
    FUNCTIONS,
    MOVING,
    PAIR,
    POOLS,
    REPEATING,
    WEIGHTED,
    before_pair,
    dequantizer,
    dtype_of,
    element_types,
    layer_of,
    qdq_nodes,
)
from resnet_convert.graph.opset import FOR_FP16_SCALES
from resnet_convert.lint import outputs, placement
from resnet_convert.lint.rules import Breach, Rule, RuleSet
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

GRIDS = frozenset({"INT8", "FLOAT8E4M3FN"})
FLOATS = frozenset({"FLOAT", "FLOAT16", "BFLOAT16"})
_NARROW = frozenset({"FLOAT16", "BFLOAT16", "FLOAT8E4M3FN"})
OPSETS = range(7, 26)
FOR_PAIRS, FOR_CHANNEL_SCALES = 10, 13  # the first opsets with QuantizeLinear, and with its axis
OTHER_INTEGER_OPERATORS = frozenset(
    {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"}
)
# Beside what the tracer writes: seen built by TensorRT-RTX 1.7's real parser and builder.
TAKEN = frozenset(
    {"Cast", "Concat", "Dropout", "Gather", "Gelu", "GlobalMaxPool", "GroupNormalization"}
    | {"HardSwish", "Identity", "Mish", "RMSNormalization", "Round", "Shape", "Softsign", "Tan"}
    | {"ThresholdedRelu", "Tile"}
)
OPERATORS = (WEIGHTED | COMPUTING | FUNCTIONS | POOLS | MOVING | REPEATING | PAIR) | {
    "BatchNormalization",
    *TAKEN,
}


def _symmetric(model: ir.Model) -> Iterator[Breach]:
    types = element_types(model.graph)
    for node in qdq_nodes(model):
        zero = node.inputs[2] if len(node.inputs) > 2 else None
        integers = node.outputs[0] if node.op_type == "QuantizeLinear" else node.inputs[0]
        found = None if integers is None else types.get(integers)
        if found == ir.DataType.INT32:
            continue  # a bias, see T5
        if str(found) not in GRIDS:
            yield layer_of(node), f"is quantized to {found}; TensorRT knows INT8 and FP8 only"
        elif zero is not None and zero.const_value is None:
            yield layer_of(node), "its zero point is computed, not constant"
        elif zero is not None and array_of(zero).astype(np.float32).any():
            yield layer_of(node), "is quantized with a zero point other than zero"


def _pairs_only(model: ir.Model) -> Iterator[Breach]:
    for node in model.graph:
        if node.op_type in OTHER_INTEGER_OPERATORS:
            yield str(node.name), f"TensorRT has no {node.op_type}, only Q/DQ pairs"


def _scales(model: ir.Model) -> Iterator[Breach]:
    for node in qdq_nodes(model):
        scale = node.inputs[1]
        if scale is None or scale.const_value is None:
            yield layer_of(node), "its scale is computed, not constant"
            continue
        numbers = array_of(scale).astype(np.float64)
        if not (np.isfinite(numbers) & (numbers > 0)).all():
            yield layer_of(node), "its scale is not a positive, finite number"
        weights = _constant_behind(node)
        if weights is None and numbers.size != 1:
            yield layer_of(node), "its activations have a scale per channel; TensorRT allows one"
        elif weights is None and numbers.shape:
            sides = list(numbers.shape)
            yield layer_of(node), f"the scale of its activations has the shape {sides}, not []"
        elif weights is not None and numbers.size != 1 and not _covers_axis(node, weights, numbers):
            yield layer_of(node), f"its {numbers.size} scales are not one per channel"


def _constant_behind(node: ir.Node) -> ir.Value | None:
    """The constant that a Q or DQ rounds: stored as integers, or floating in front of its Q."""
    value = before_pair(node.inputs[0])
    return value if value is not None and value.const_value is not None else None


def _covers_axis(node: ir.Node, weights: ir.Value, scales: NDArray[np.float64]) -> bool:
    sides, axis = array_of(weights).shape, _axis(node)
    return -len(sides) <= axis < len(sides) and scales.shape == (sides[axis],)


def _axis(node: ir.Node) -> int:
    axis = node.attributes.get_int("axis")
    return 1 if axis is None else axis


def _weights(model: ir.Model) -> Iterator[Breach]:
    for node in model.graph:
        stored = dequantizer(node.inputs[1]) if node.op_type in WEIGHTED else None
        scale = None if stored is None else stored.inputs[1]
        weights = None if stored is None else _constant_behind(stored)
        if stored is None or scale is None or weights is None:
            continue
        count = 1 if scale.const_value is None else scale.const_value.size
        if count == 1 and array_of(weights).shape[0] != 1:
            yield str(node.name), "its weights have one scale for all channels"
        elif count != 1 and _axis(stored) != 0:
            yield str(node.name), f"its weights are quantized along axis {_axis(stored)}, not 0"


def _biases(model: ir.Model) -> Iterator[Breach]:
    for node in model.graph:
        bias = node.inputs[2] if node.op_type in WEIGHTED and len(node.inputs) > 2 else None
        if bias is not None and (bias.producer() is not None or str(dtype_of(bias)) not in FLOATS):
            yield str(node.name), "its bias is not a floating-point constant"


def _opset(model: ir.Model) -> Iterator[Breach]:
    imports = model.graph.opset_imports
    others = {domain for domain in imports if domain} | {
        node.domain for node in model.graph if node.domain not in ("", "ai.onnx")
    }
    if others:
        yield "graph", f"uses operators of {', '.join(sorted(others))}, not ONNX's own"
    opset = imports.get("", 0)
    if opset not in OPSETS:
        yield "graph", f"opset {opset} is outside {OPSETS[0]} to {OPSETS[-1]}"
    elif opset < FOR_FP16_SCALES[0]:
        for node in qdq_nodes(model):
            needed = _opset_of_pair(node)
            if opset < needed:
                yield layer_of(node), f"its Q/DQ pair needs opset {needed}"
                break


def _opset_of_pair(node: ir.Node) -> int:
    """The first opset whose QuantizeLinear and DequantizeLinear take these scales."""
    if {str(dtype_of(value)) for value in node.inputs[1:]} & _NARROW:
        return FOR_FP16_SCALES[0]
    scale = node.inputs[1]
    per_channel = scale is not None and scale.const_value is not None and scale.const_value.size > 1
    return FOR_CHANNEL_SCALES if per_channel else FOR_PAIRS


def _types(model: ir.Model) -> Iterator[Breach]:
    graph = model.graph
    types = element_types(graph)
    for node in graph:
        given = node.inputs[:1] if node.op_type == "Resize" else node.inputs  # its scales are FP32
        found = {str(types.get(value)) for value in given if value is not None} & FLOATS
        if len(found) > 1:
            yield layer_of(node), f"{node.op_type} mixes {' and '.join(sorted(found))}"
    for value in graph.inputs:
        if str(value.dtype) not in ("UINT8", "FLOAT"):
            yield str(value.name), f"the input is {value.dtype}, neither UINT8 nor FP32"
    yield from placement.floating_outputs(model, types)


def _batch_only(model: ir.Model) -> Iterator[Breach]:
    for value in (*model.graph.inputs, *model.graph.outputs):
        sides = None if value.shape is None else list(value.shape)
        if not sides or not all(isinstance(side, int) for side in sides[1:]):
            yield str(value.name), "has another open dimension than the batch"


def _operators(model: ir.Model) -> Iterator[Breach]:
    if model.functions:
        yield "graph", "contains functions"
    for node in model.graph:
        known = node.op_type in OPERATORS | OTHER_INTEGER_OPERATORS
        if not known and node.domain in ("", "ai.onnx"):
            yield (
                str(node.name),
                f"{node.op_type} is not an operator that TensorRT is known to take",
            )
        elif node.op_type in POOLS and set(node.attributes.get_ints("dilations") or [1]) != {1}:
            yield str(node.name), "TensorRT has no dilated pooling"
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            yield str(value.name), "is stored outside the file"


def _pixels(model: ir.Model) -> Iterator[Breach]:
    types = element_types(model.graph)
    for node in model.graph:
        given = {types.get(value) for value in node.inputs if value is not None}
        if ir.DataType.UINT8 in given and node.op_type not in ("Cast", *PAIR):
            yield str(node.name), f"{node.op_type} computes in UINT8"


_CONVERT = "Convert the checkpoint with --target tensorrt."
RULES = RuleSet(
    "TensorRT",
    (
        Rule("T1", _symmetric, _CONVERT),
        Rule("T2", _pairs_only, _CONVERT),
        Rule("T3", _scales, _CONVERT),
        Rule("T4", _weights, _CONVERT),
        Rule("T5", _biases, _CONVERT),
        Rule("T6", _opset, _CONVERT),
        Rule("T7", placement.both_sides, "Quantize both sides of the layer, or neither."),
        Rule("T8", placement.additions, "Quantize the shortcut of the block, and only it."),
        Rule("T9", placement.uninterrupted, "Move the pair behind the ReLU, or to the shortcut."),
        Rule("T10", _types, "Give all tensors one floating type, with FP32 outputs."),
        Rule("T11", _batch_only, "Fix every dimension except the batch."),
        Rule("T12", _operators, "Replace it in the network, or use --target onnxruntime."),
        Rule("T13", placement.paired, "Keep Q and DQ together, with one scale."),
        Rule("T14", _pixels, "Cast the pixels before anything else."),
        Rule("T15", placement.finite, "Train the network again: its weights are damaged."),
        Rule("T16", outputs.listed_once, "Give the graph one output for each tensor to be read."),
    ),
)
