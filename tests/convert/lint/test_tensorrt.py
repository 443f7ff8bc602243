"""TensorRT's rules on numbers, types and operators: broken one by one, kept by all our graphs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from quantized import Graphs, array, calibrated, node, symmetric_residual
from thin import shallowest
from thin_traces import thin_trace

from resnet_convert.graph.fold import fold
from resnet_convert.graph.half import halve
from resnet_convert.graph.initializers import assign, initializer
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.lint import tensorrt
from resnet_convert.lint.rules import check, refuse
from resnet_convert.lint.tensorrt import RULES
from resnet_convert.quantization import s8s8
from resnet_convert.quantization.ranges import Range
from resnet_serve.architectures import Architecture
from resnet_serve.errors import ConversionError
from resnet_serve.precisions import PRECISIONS
from resnet_serve.preprocessing import Preprocessing

Change = Callable[[ir.Model], None]


@pytest.fixture
def block(graph: Graphs) -> ir.Model:
    """A residual block, symmetric INT8 over FP16, as we hand it to TensorRT."""
    model = symmetric_residual(graph)
    halve(model)
    assert check(model, RULES) == ()
    return model


def replace(name: str, new: Callable[[NDArray[Any]], Any]) -> Change:
    """Give an initializer another constant."""

    def change(model: ir.Model) -> None:
        value = model.graph.initializers[name]
        assign(value, np.asarray(new(array(model, name))))

    return change


def uint8_grid(model: ir.Model) -> None:
    assign(model.graph.initializers["b.zero"], np.asarray(128, np.uint8))


def no_zero_point(model: ir.Model) -> None:
    for name in ("b.q", "b.dq"):
        node(model, name).resize_inputs(2)


def computed_zero_point(model: ir.Model) -> None:
    zero = model.graph.initializers["b.zero"]
    flat = ir.node("Flatten", [zero], {"axis": 0}, name="computed")
    flat.outputs[0].name = "computed"
    model.graph.insert_before(model.graph[0], flat)
    for name in ("b.q", "b.dq"):
        node(model, name).replace_input_with(2, flat.outputs[0])


def other_integers(op_type: str) -> Change:
    def change(model: ir.Model) -> None:
        extra = ir.node(op_type, [model.graph.initializers["block_conv1.weight.q"]], name="extra")
        extra.outputs[0].name = "extra"
        model.graph.insert_before(model.graph[0], extra)

    return change


def computed_scale(model: ir.Model) -> None:
    scale = model.graph.initializers["b.scale"]
    computed = ir.node("Relu", [scale], name="computed")
    computed.outputs[0].name = "computed"
    model.graph.insert_before(model.graph[0], computed)
    for name in ("b.q", "b.dq"):
        node(model, name).replace_input_with(1, computed.outputs[0])


def scale_per_channel_of_an_activation(model: ir.Model) -> None:
    for name in ("b.scale", "b.zero"):
        replace(name, lambda one: np.full(4, one))(model)


def weights_along_the_inputs(model: ir.Model) -> None:
    node(model, "block_conv1.weight.dq").attributes["axis"] = ir.AttrInt64("axis", 1)


def weights_along_the_default_axis(model: ir.Model) -> None:
    node(model, "block_conv1.weight.dq").attributes.pop("axis")


def one_scale_for_all_weights(model: ir.Model) -> None:
    for name in ("block_conv1.weight.scale", "block_conv1.weight.zero"):
        replace(name, lambda all_of_them: all_of_them[0])(model)


def quantized_bias(model: ir.Model) -> None:
    graph, conv = model.graph, node(model, "block_conv1")
    stored = initializer(graph, "bias.q", np.arange(4, dtype=np.int32))
    scale = initializer(graph, "bias.scale", np.full(4, 0.5, np.float16))
    dequantizer = ir.node("DequantizeLinear", [stored, scale], {"axis": 0}, name="bias.dq")
    dequantizer.outputs[0].name = "bias.dq"
    graph.insert_before(conv, dequantizer)
    conv.replace_input_with(2, dequantizer.outputs[0])


def opset(number: int) -> Change:
    def change(model: ir.Model) -> None:
        model.graph.opset_imports[""] = number

    return change


def foreign_import(model: ir.Model) -> None:
    model.graph.opset_imports["com.microsoft"] = 1


def foreign_operator(model: ir.Model) -> None:
    extra = ir.node(
        "FusedConv", [node(model, "relu").outputs[0]], domain="com.microsoft", name="extra"
    )
    extra.outputs[0].name = "extra"
    model.graph.append(extra)


def float_bias(model: ir.Model) -> None:
    replace("b2", lambda bias: bias.astype(np.float32))(model)


def half_logits(model: ir.Model) -> None:
    leave = node(model, "fp16.leave")
    model.graph.outputs[0] = leave.inputs[0]
    model.graph.remove(leave, safe=True)


def half_input(model: ir.Model) -> None:
    model.graph.inputs[0].type = ir.TensorType(ir.DataType.FLOAT16)


def open_height(model: ir.Model) -> None:
    model.graph.inputs[0].shape = ir.Shape(["batch", 4, "height", 6])


def open_classes(model: ir.Model) -> None:
    model.graph.outputs[0].shape = ir.Shape(["batch", "classes"])


def no_shape(model: ir.Model) -> None:
    model.graph.inputs[0].shape = None


def unknown_operator(model: ir.Model) -> None:
    node(model, "flatten").op_type = "Squeeze"


def dilated_pool(model: ir.Model) -> None:
    relu = node(model, "block_relu")
    relu.op_type = "MaxPool"
    relu.attributes["kernel_shape"] = ir.AttrInt64s("kernel_shape", [1, 1])
    relu.attributes["dilations"] = ir.AttrInt64s("dilations", [2, 2])


def outside_the_file(model: ir.Model) -> None:
    value = model.graph.initializers["b2"]
    value.const_value = ir.ExternalTensor(
        "weights.bin", 0, 8, ir.DataType.FLOAT16, shape=ir.Shape([4]), name="b2"
    )


def byte_arithmetic(model: ir.Model) -> None:
    image = model.graph.inputs[0]
    image.type = ir.TensorType(ir.DataType.UINT8)
    moved = ir.node("Transpose", [image], {"perm": [0, 1, 2, 3]}, name="planes")
    moved.outputs[0].name = "planes"
    model.graph.insert_before(model.graph[0], moved)
    node(model, "fp16.enter").replace_input_with(0, moved.outputs[0])


BROKEN: dict[str, tuple[str, str, Change]] = {
    "zero point 3": ("T1", "block_conv1", replace("b.zero", lambda _: np.int8(3))),
    "UINT8": ("T1", "block_conv1", uint8_grid),
    "no zero point means UINT8": ("T1", "block_conv1", no_zero_point),
    "computed zero point": ("T1", "block_conv1", computed_zero_point),
    "QLinearConv": ("T2", "extra", other_integers("QLinearConv")),
    "ConvInteger": ("T2", "extra", other_integers("ConvInteger")),
    "MatMulInteger": ("T2", "extra", other_integers("MatMulInteger")),
    "DynamicQuantizeLinear": ("T2", "extra", other_integers("DynamicQuantizeLinear")),
    "computed scale": ("T3", "block_conv1", computed_scale),
    "negative scale": ("T3", "block_conv1", replace("b.scale", lambda s: -s)),
    "scale of zero": ("T3", "block_conv1", replace("b.scale", lambda s: 0 * s)),
    "infinite scale": ("T3", "block_conv1", replace("b.scale", lambda s: s * np.float16("inf"))),
    "one dead weight scale": (
        "T3",
        "block_conv2",
        replace("block_conv2.weight.scale", lambda s: s * [1, 1, 0, 1]),
    ),
    "too few scales": (
        "T3",
        "block_conv1",
        replace("block_conv1.weight.scale", lambda s: s[:3]),
    ),
    "activations per channel": ("T3", "block_conv1", scale_per_channel_of_an_activation),
    "weights along axis 1": ("T4", "block_conv1", weights_along_the_inputs),
    "weights along the default axis": ("T4", "block_conv1", weights_along_the_default_axis),
    "weights per tensor": ("T4", "block_conv1", one_scale_for_all_weights),
    "INT32 bias": ("T5", "block_conv1", quantized_bias),
    "opset 12": ("T6", "graph", opset(12)),
    "opset 25": ("T6", "graph", opset(25)),
    "FP16 scales at opset 18": ("T6", "conv1", opset(18)),
    "another domain": ("T6", "graph", foreign_import),
    "an operator of another domain": ("T6", "graph", foreign_operator),
    "FP32 bias among FP16": ("T10", "block_conv1", float_bias),
    "FP16 logits": ("T10", "fc.fp16", half_logits),
    "FP16 input": ("T10", "image", half_input),
    "open height": ("T11", "image", open_height),
    "open classes": ("T11", "logits", open_classes),
    "no shape": ("T11", "image", no_shape),
    "unknown operator": ("T12", "flatten", unknown_operator),
    "dilated pool": ("T12", "block_relu", dilated_pool),
    "external data": ("T12", "b2", outside_the_file),
    "UINT8 arithmetic": ("T14", "planes", byte_arithmetic),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_breach_is_found_by_its_rule_alone(block: ir.Model, name: str) -> None:
    rule, layer, change = BROKEN[name]
    change(block)
    found = check(block, RULES)
    assert {finding.rule for finding in found} == {rule}
    assert layer in {finding.layer for finding in found}


def test_a_function_is_found(block: ir.Model) -> None:
    function = ir.Function("ours", "f", graph=ir.Graph([], [], nodes=[]), attributes=[])
    block.functions[function.identifier()] = function
    assert {finding.rule for finding in check(block, RULES)} == {"T12"}


def test_scales_of_fp32_may_stand_before_opset_19(graph: Graphs) -> None:
    model = symmetric_residual(graph)
    model.graph.opset_imports[""] = 13
    assert check(model, RULES) == ()


def test_every_rule_has_a_number_of_its_own_and_a_remedy() -> None:
    numbers = [rule.number for rule in RULES.rules]
    assert numbers == [f"T{n}" for n in range(1, len(numbers) + 1)]
    assert numbers == re.findall(r"^(T\d+) ", tensorrt.__doc__ or "", re.MULTILINE)
    assert all(rule.remedy.endswith(".") for rule in RULES.rules)


def test_a_graph_made_for_the_cpu_is_refused_with_what_to_do(
    folded_digits: ir.Model, digits_pixels: NDArray[np.uint8], digits: Any
) -> None:
    take_pixels(folded_digits, digits.preprocessing)
    calibrated(folded_digits, digits_pixels)
    with pytest.raises(ConversionError, match=r"TensorRT rule T1, and \d+ more") as refusal:
        refuse(check(folded_digits, RULES))
    assert refusal.value.exit_code == 5
    assert refusal.value.where == "lint: conv1"
    assert "--target tensorrt" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.fixture(scope="module", params=shallowest(), ids=lambda row: row.name)
def narrow(request: pytest.FixtureRequest) -> tuple[Architecture, ir.Model]:
    """A network of every kind, folded; thin, because all that the rules ask is 16 channels."""
    made = thin_trace(request.param)
    model = ir.from_proto(ir.to_proto(made.trace.model))
    fold(model)
    return made.row, model


@pytest.mark.parametrize("raw", [True, False], ids=["uint8", "float32"])
def test_every_graph_we_make_keeps_every_rule(
    narrow: tuple[Architecture, ir.Model], raw: bool
) -> None:
    """Whatever the ranges are: placement and types do not depend on them."""
    row, traced = narrow
    folded = ir.from_proto(ir.to_proto(traced))
    if raw:
        side = int(folded.graph.inputs[0].shape[2])
        take_pixels(folded, Preprocessing(resize=side, crop=(side, side)))
    data = ir.to_proto(folded)
    random = np.random.default_rng(0)
    ranges = {name: Range(*sorted(random.normal(0, 3, 2))) for name in s8s8.activations(folded)}
    for precision in PRECISIONS:
        model = ir.from_proto(data)
        if precision in ("int8", "fp8"):
            found = s8s8.quantize(model, ranges, precision)
            assert found.layers + len(found.floating) == row.convolutions + 1
            # FP8 asks for 16 channels on both sides; a thin deep stem has 8.
            stem = ("conv1.0", "conv1.3", "conv1.6") if row.stem == "deep" else ("conv1",)
            assert found.floating == (stem if precision == "fp8" else ())
            halve(model)
        elif precision != "fp32":
            halve(model, precision)
        assert check(model, RULES) == (), precision


def test_our_int8_graphs_are_onnx(graph: Graphs) -> None:
    for number in ("int8", "fp8"):
        model = symmetric_residual(graph, number, channels=16)
        halve(model)
        onnx.checker.check_model(ir.to_proto(model), full_check=True)
