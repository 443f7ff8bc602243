"""Every rule of TensorRT's lint against the real parser and builder of TensorRT-RTX, for SM89.

A graph of two residual blocks in INT8 breaks one rule at a time. The rows say what the parser or
the builder makes of it, and which of its seven layers the builder's own list shows in another type
than the whole graph's. A row of types without a refusal is what only the lint sees.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
import pytest
import rtx
from broken_graphs import BROKEN, Change, opset
from misplaced_pairs import MISPLACED
from quantized import Graphs, array, node, symmetric_residual

from resnet_convert.graph.half import halve
from resnet_convert.graph.initializers import assign, initializer
from resnet_convert.lint.rules import check
from resnet_convert.lint.tensorrt import RULES
from resnet_convert.tensorrt.judging.verdict import Question, Verdict

CONVOLUTIONS = (
    *("conv1", "block_conv1", "block_conv2"),
    *("down_conv1", "down_conv2", "down_projection"),
)
INT8 = {**dict.fromkeys(CONVOLUTIONS, "Int8→Float"), "fc": "Int8→Half"}
HALF = "Half→Half"
ALL_BROKEN = {**BROKEN, **MISPLACED}


@dataclass(frozen=True)
class Row:
    """What becomes of a graph; `says` is part of the refusal, `otherwise` the layers that differ
    from `INT8`.
    """

    outcome: str = "built"
    says: str = ""
    otherwise: dict[str, str] = field(default_factory=dict)


def parser(says: str) -> Row:
    return Row("the parser refuses", says)


def half(*layers: str) -> Row:
    return Row(otherwise=dict.fromkeys(layers, HALF))


SILENT = Row()
TABLE: dict[str, Row] = {
    # T1
    "zero point 3": parser("Non-zero zero point"),
    "UINT8": parser("Non-zero zero point"),
    "no zero point means UINT8": SILENT,
    "UINT8 zero point 0": SILENT,
    "UINT8 zero point 0, declared INT8": SILENT,
    "computed zero point": Row("the builder refuses", "Quantized constant"),
    # T2
    "QLinearConv": parser("false"),
    "ConvInteger": parser("false"),
    "MatMulInteger": parser("false"),
    "DynamicQuantizeLinear": parser("false"),
    # T3
    "computed scale": Row("crashed"),
    "negative scale": parser("scaleAllPositive"),
    "scale of zero": parser("scaleAllPositive"),
    "NaN as a scale": parser("scaleAllPositive"),
    "infinite scale": SILENT,
    "one dead weight scale": parser("scaleAllPositive"),
    "too few scales": parser("zeroPointSize == scaleSize"),
    "activations per channel": half("block_conv1"),
    "scale of shape [1]": half("block_conv1"),
    # T4
    "weights along axis 1": half("block_conv1"),
    "weights along the default axis": half("block_conv1"),
    "weights per tensor": Row(otherwise={"block_conv1": "Int8→Half"}),
    # T5
    "INT32 bias": parser("input has type Int32"),
    # T6
    "opset 6": parser("Pre-opset 7 broadcasting"),
    "opset 26": SILENT,
    "FP16 scales at opset 18": SILENT,
    "another domain": SILENT,
    "an operator of another domain": parser("Plugin not found"),
    # T7
    "floating input": half("block_conv2"),
    "floating weights": half("block_conv2"),
    "INT8 by FP8": Row("the builder refuses", "Myelin"),
    # T8, T9: TensorRT-RTX fuses no addition with an INT8 convolution, wherever the pairs are
    "floating shortcut": SILENT,
    "floating projection": SILENT,
    "both operands": SILENT,
    "between Conv and ReLU": SILENT,
    "between Add and ReLU": SILENT,
    "the main path of an identity block": SILENT,
    "the main path of a projection block": SILENT,
    # T10
    "FP32 bias among FP16": parser("IConvolutionLayer"),
    "FP32 scale among FP16, declared FP16": parser("must be of same type"),
    "FP16 logits": SILENT,
    "FP16 input": SILENT,
    # T11
    "open height": SILENT,
    "open classes": SILENT,
    "no shape": parser("checkSpatialDims"),
    # T12
    "unknown operator": parser("false"),
    "dilated pool": parser("does not support dila"),
    "external data": parser("Failed to import initializer"),
    # T13
    "different scales": SILENT,
    "integers read": SILENT,
    "a Q for nobody": SILENT,
    "a DQ alone": SILENT,
    # T14
    "UINT8 arithmetic": parser("input has type UInt8"),
    # T15
    "NaN in a bias": SILENT,
    "infinity in a bias": SILENT,
    "infinity in floating weights": Row(otherwise={"fc": "generated"}),
}


@pytest.fixture
def blocks(graph: Graphs) -> ir.Model:
    model = symmetric_residual(graph)
    halve(model)
    return model


def judged(model: ir.Model) -> Verdict:
    data = bytes(ir.to_proto(model).SerializeToString())
    return rtx.judge().ask(Question(data, ("8.9",), open_side=6))


def types(verdict: Verdict) -> dict[str, str]:
    """The type in which each layer reads and writes, by the builder's list.

    "generated" where a generated kernel does it, as for a floating Gemm this small.
    """
    found = {name: rtx.computed(verdict, name) for name in INT8}
    return {
        name: "generated" if layer is None else f"{layer.inputs[0]}→{layer.outputs[0]}"
        for name, layer in found.items()
    }


def test_every_breach_has_its_row() -> None:
    assert set(TABLE) == set(ALL_BROKEN)


def test_the_whole_graph_is_int8(blocks: ir.Model) -> None:
    assert check(blocks, RULES) == ()
    verdict = judged(blocks)
    assert (verdict.outcome, types(verdict)) == ("built", INT8)


@pytest.mark.parametrize("name", TABLE)
def test_what_becomes_of_a_breach(blocks: ir.Model, name: str) -> None:
    rule, _, change = ALL_BROKEN[name]
    row = TABLE[name]
    change(blocks)
    assert {finding.rule for finding in check(blocks, RULES)} == {rule}
    verdict = judged(blocks)
    assert verdict.outcome == row.outcome
    said = " ".join([*(each.text for each in verdict.refusals), *verdict.errors])
    assert row.says in said
    if verdict.built:
        assert types(verdict) == {**INT8, **row.otherwise}


def test_a_crash_is_a_segmentation_fault(blocks: ir.Model) -> None:
    ALL_BROKEN["computed scale"][2](blocks)
    assert judged(blocks).signal == 11


# --- what the lint lets pass, because the real parser and builder take it -------------------------


def instead_of_a_relu(op_type: str, *constants: np.ndarray, at: int = 22, **numbers: int) -> Change:
    """Another operator in place of a ReLU between two convolutions."""

    def change(model: ir.Model) -> None:
        layer = node(model, "block_relu")
        layer.op_type = op_type
        layer.resize_inputs(1 + len(constants))
        for index, constant in enumerate(constants):
            layer.replace_input_with(
                1 + index, initializer(model.graph, f"own.{index}", np.asarray(constant))
            )
        for key, number in numbers.items():
            layer.attributes[key] = ir.AttrInt64(key, number)
        model.graph.opset_imports[""] = at

    return change


def global_maximum(model: ir.Model) -> None:
    node(model, "avgpool").op_type = "GlobalMaxPool"


def silu(model: ir.Model) -> None:
    layer = node(model, "block_relu")
    layer.op_type, given = "Sigmoid", layer.inputs[0]
    written = layer.outputs[0]
    product = ir.node("Mul", [given, written], name="silu")
    product.outputs[0].name = "silu"
    for reader, index in [(use.node, use.idx) for use in written.uses() if use.node is not product]:
        reader.replace_input_with(index, product.outputs[0])
    model.graph.insert_after(layer, [product])


def floating_weights_in_the_graph(model: ir.Model) -> None:
    """Weights as exports of quantization-aware training have them: floating, behind Q and DQ."""
    dequantizer = node(model, "block_conv1.weight.dq")
    scale, zero = dequantizer.inputs[1:]
    weights = array(model, "block_conv1.weight.q").astype(np.float16) * np.float16(0.01)
    stored = initializer(model.graph, "floating", weights)
    quantizer = ir.node("QuantizeLinear", [stored, scale, zero], {"axis": 0}, name="floating.q")
    quantizer.outputs[0].name = "floating.q"
    model.graph.insert_before(dequantizer, quantizer)
    dequantizer.replace_input_with(0, quantizer.outputs[0])


def zero_point_of_shape_1(model: ir.Model) -> None:
    assign(model.graph.initializers["b.zero"], np.zeros(1, np.int8))


_HALF = np.float16
TAKEN: dict[str, Change] = {
    **{
        name: instead_of_a_relu(name)
        for name in (
            *("LeakyRelu", "Sigmoid", "HardSwish", "HardSigmoid", "Elu", "Selu", "Softplus"),
            *("Softsign", "Tanh", "Mish", "Gelu", "ThresholdedRelu", "Identity", "Dropout"),
            *("Round", "Tan", "Softmax"),
        )
    },
    "Clip": instead_of_a_relu("Clip", _HALF(0), _HALF(6)),
    "PRelu": instead_of_a_relu("PRelu", np.full((4, 1, 1), 0.1, "e")),
    "Reshape": instead_of_a_relu("Reshape", np.asarray([0, 4, 6, 6])),
    "Tile": instead_of_a_relu("Tile", np.ones(4, np.int64)),
    "Gather": instead_of_a_relu("Gather", np.arange(4), axis=1),
    "GroupNormalization": instead_of_a_relu(
        "GroupNormalization", np.ones(4, "e"), np.zeros(4, "e"), num_groups=2
    ),
    "RMSNormalization": instead_of_a_relu("RMSNormalization", np.ones(6, "e"), at=23),
    "SiLU": silu,
    "GlobalMaxPool": global_maximum,
    "opset 25": opset(25),
    "floating weights with Q and DQ": floating_weights_in_the_graph,
    "zero point of shape [1]": zero_point_of_shape_1,
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_the_builder_takes_passes_the_lint(blocks: ir.Model, name: str) -> None:
    TAKEN[name](blocks)
    assert check(blocks, RULES) == ()
    verdict = judged(blocks)
    assert (verdict.outcome, types(verdict)) == ("built", INT8)


@pytest.mark.parametrize("number", [7, 9, 12])
def test_old_opsets_of_floating_graphs_are_taken(graph: Graphs, number: int) -> None:
    weights = {f"w{n}": np.ones((4, 4, 3, 3), np.float32) for n in (1, 2)}
    text = """(float[N,4,6,6] image) => (float[N,144] logits) {
        [conv1] a = Conv <pads = [1,1,1,1]> (image, w1)
        [relu] b = Relu (a)
        [conv2] c = Conv <pads = [1,1,1,1]> (b, w2)
        [flatten] logits = Flatten (c)
    }"""
    model = graph(text, **weights)
    model.graph.opset_imports[""] = number
    assert check(model, RULES) == ()
    assert judged(model).outcome == "built"


def test_one_scale_of_shape_1_takes_int8_and_fp8_away(graph: Graphs) -> None:
    model = symmetric_residual(graph, "fp8", channels=16)
    halve(model)
    whole = judged(model)
    assert types(whole) == {name: kind.replace("Int8", "FP8") for name, kind in INT8.items()}
    assign(model.graph.initializers["b.scale"], array(model, "b.scale").reshape(1))
    assert {finding.rule for finding in check(model, RULES)} == {"T3"}
    assert types(judged(model)) == {**types(whole), "block_conv1": HALF}
