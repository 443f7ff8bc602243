"""Changes to a graph that each break one of TensorRT's rules, with the rule and a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from quantized import array, node

from resnet_convert.graph.initializers import assign, initializer

Change = Callable[[ir.Model], None]


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


def declared(name: str, change: Change) -> Change:
    """Change a constant, and let the graph declare it as it was before."""

    def changed(model: ir.Model) -> None:
        value = model.graph.initializers[name]
        before = value.type, value.shape
        change(model)
        value.type, value.shape = before

    return changed


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
    node(model, "flatten").op_type = "Compress"


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


def infinite_weights(model: ir.Model) -> None:
    """A classifier that stays floating, one of whose weights is infinite."""
    layer = node(model, "fc")
    given = layer.inputs[0].producer()
    layer.replace_input_with(0, given.inputs[0].producer().inputs[0])
    for each in (given, given.inputs[0].producer()):
        model.graph.remove(each, safe=True)
    weights = np.ones((5, 4), np.float16)
    weights[0, 0] = np.inf
    layer.replace_input_with(1, initializer(model.graph, "again", weights))


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
    "UINT8 zero point 0": ("T1", "block_conv1", replace("b.zero", np.uint8)),
    "UINT8 zero point 0, declared INT8": (
        "T1",
        "block_conv1",
        declared("b.zero", replace("b.zero", np.uint8)),
    ),
    "computed zero point": ("T1", "block_conv1", computed_zero_point),
    "QLinearConv": ("T2", "extra", other_integers("QLinearConv")),
    "ConvInteger": ("T2", "extra", other_integers("ConvInteger")),
    "MatMulInteger": ("T2", "extra", other_integers("MatMulInteger")),
    "DynamicQuantizeLinear": ("T2", "extra", other_integers("DynamicQuantizeLinear")),
    "computed scale": ("T3", "block_conv1", computed_scale),
    "negative scale": ("T3", "block_conv1", replace("b.scale", lambda s: -s)),
    "scale of zero": ("T3", "block_conv1", replace("b.scale", lambda s: 0 * s)),
    "NaN as a scale": ("T3", "block_conv1", replace("b.scale", lambda s: s * np.float16("nan"))),
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
    "scale of shape [1]": ("T3", "block_conv1", replace("b.scale", lambda s: s.reshape(1))),
    "weights along axis 1": ("T4", "block_conv1", weights_along_the_inputs),
    "weights along the default axis": ("T4", "block_conv1", weights_along_the_default_axis),
    "weights per tensor": ("T4", "block_conv1", one_scale_for_all_weights),
    "INT32 bias": ("T5", "block_conv1", quantized_bias),
    "opset 6": ("T6", "graph", opset(6)),
    "opset 26": ("T6", "graph", opset(26)),
    "FP16 scales at opset 18": ("T6", "conv1", opset(18)),
    "another domain": ("T6", "graph", foreign_import),
    "an operator of another domain": ("T6", "graph", foreign_operator),
    "FP32 bias among FP16": ("T10", "block_conv1", float_bias),
    "FP32 scale among FP16, declared FP16": (
        "T10",
        "block_conv1",
        declared("b.scale", replace("b.scale", lambda s: s.astype(np.float32))),
    ),
    "FP16 logits": ("T10", "fc.fp16", half_logits),
    "FP16 input": ("T10", "image", half_input),
    "open height": ("T11", "image", open_height),
    "open classes": ("T11", "logits", open_classes),
    "no shape": ("T11", "image", no_shape),
    "unknown operator": ("T12", "flatten", unknown_operator),
    "dilated pool": ("T12", "block_relu", dilated_pool),
    "external data": ("T12", "b2", outside_the_file),
    "UINT8 arithmetic": ("T14", "planes", byte_arithmetic),
    "NaN in a bias": ("T15", "block_conv1", replace("b2", lambda b: b * np.float16("nan"))),
    "infinity in a bias": ("T15", "fc", replace("b7", lambda b: b + np.float16("inf"))),
    "infinity in floating weights": ("T15", "fc", infinite_weights),
}
