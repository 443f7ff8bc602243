"""Changes that each put a Q/DQ pair where TensorRT's rules have none, with the rule and a layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from quantized import node

from resnet_convert.graph.initializers import initializer
from resnet_convert.quantization.qdq import insert_pair

Change = Callable[[ir.Model], None]


def output(model: ir.Model, name: str) -> ir.Value:
    return node(model, name).outputs[0]


def read(reader: str, index: int, writer: str) -> Change:
    """Let an operator read what another one wrote."""
    return lambda model: node(model, reader).replace_input_with(index, output(model, writer))


def behind(writer: str, *readers: str) -> Change:
    """Another pair behind `writer`, for these of its readers."""

    def change(model: ir.Model) -> None:
        value = output(model, writer)
        insert_pair(
            model.graph,
            value,
            np.asarray(0.5, np.float16),
            np.asarray(0, np.int8),
            name=f"{writer}.extra",
            uses=[use for use in value.uses() if str(use.node.name) in readers],
        )

    return change


def floating_weights(model: ir.Model) -> None:
    weights = initializer(model.graph, "again", np.ones((4, 4, 3, 3), np.float16))
    node(model, "block_conv2").replace_input_with(1, weights)


def fp8_weights(model: ir.Model) -> None:
    kind = ir.DataType.FLOAT8E4M3FN.numpy()
    dequantizer = node(model, "block_conv2.weight.dq")
    for index, sides in ((0, (4, 4, 3, 3)), (2, (4,))):
        constant = initializer(model.graph, f"fp8.{index}", np.zeros(sides, kind))
        dequantizer.replace_input_with(index, constant)


def both(*changes: Change) -> Change:
    def change(model: ir.Model) -> None:
        for one in changes:
            one(model)

    return change


def another_scale_behind(model: ir.Model) -> None:
    other = initializer(model.graph, "other", np.asarray(0.25, np.float16))
    node(model, "b.dq").replace_input_with(1, other)


def integers_out(model: ir.Model) -> None:
    """An operator that reads what Q wrote, past its DQ."""
    extra = ir.node("Flatten", [output(model, "b.q")], name="extra")
    extra.outputs[0].name = "extra"
    model.graph.append(extra)


def unread(model: ir.Model) -> None:
    image = output(model, "fp16.enter")
    grid = node(model, "b.q").inputs[1:]
    extra = ir.node("QuantizeLinear", [image, *grid], name="extra")
    extra.outputs[0].name = "extra"
    model.graph.append(extra)


def without_q(model: ir.Model) -> None:
    """The integers of another layer, moved by an operator, behind no Q of their own."""
    moved = ir.node("Flatten", [model.graph.initializers["fc.weight.q"]], name="moved")
    moved.outputs[0].name = "moved"
    grid = node(model, "b.dq").inputs[1:]
    extra = ir.node("DequantizeLinear", [moved.outputs[0], *grid], name="extra")
    extra.outputs[0].name = "extra"
    for one in (moved, extra):
        model.graph.append(one)


MISPLACED: dict[str, tuple[str, str, Change]] = {
    "floating input": ("T7", "block_conv2", read("block_conv2", 0, "block_relu")),
    "floating weights": ("T7", "block_conv2", floating_weights),
    "INT8 by FP8": ("T7", "block_conv2", fp8_weights),
    "floating shortcut": ("T8", "block_add", read("block_add", 1, "relu")),
    "floating projection": ("T8", "down_add", read("down_add", 0, "down_projection")),
    "both operands": ("T8", "block_add", behind("block_conv2", "block_add")),
    "between Conv and ReLU": ("T9", "block_conv1", behind("block_conv1", "block_relu")),
    "between Add and ReLU": ("T9", "block_add", behind("block_add", "block_relu_1")),
    "the main path of an identity block": (
        "T9",
        "block_add",
        both(behind("block_conv2", "block_add"), read("block_add", 1, "relu")),
    ),
    "the main path of a projection block": (
        "T9",
        "down_add",
        both(behind("down_conv2", "down_add"), read("down_add", 0, "down_projection")),
    ),
    "different scales": ("T13", "block_conv1", another_scale_behind),
    "integers read": ("T13", "extra", integers_out),
    "a Q for nobody": ("T13", "extra", unread),
    "a DQ alone": ("T13", "extra", without_q),
}
