"""The CPU dialect's rules: every graph we make keeps them, and each is broken by a graph here."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantized import Graphs, calibrated, node, normal, residual
from thin_traces import thin_trace

from resnet_convert.graph.fold import fold
from resnet_convert.graph.initializers import array_of, assign, initializer
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.lint import cpu
from resnet_convert.lint.rules import check, refuse
from resnet_convert.quantization.calibrate import observe
from resnet_convert.quantization.u8s8 import activations, quantize
from resnet_serve.architectures import find
from resnet_serve.errors import ConversionError
from resnet_serve.preprocessing import Preprocessing

IMAGES = normal(8, 4, 6, 6, seed=99)
LAYERS = ("conv1", "block_conv1", "block_conv2", "down_conv1", "down_conv2", "down_projection")


def rules(model: ir.Model) -> set[str]:
    return {finding.rule for finding in check(model, cpu.RULES)}


@pytest.fixture
def integers(graph: Graphs) -> ir.Model:
    model = residual(graph)
    calibrated(model, IMAGES)
    assert rules(model) == set()
    return model


@pytest.mark.parametrize(
    "name", ["resnet20", "resnet18d", "resnet34-c", "preact_resnet18", "resnext50_32x4d"]
)
def test_every_graph_we_make_keeps_every_rule(name: str) -> None:
    made = thin_trace(find(name))
    side, model = made.side, ir.from_proto(ir.to_proto(made.trace.model))
    fold(model)
    take_pixels(model, Preprocessing(resize=side, crop=(side, side)))
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    calibrated(model, pixels)
    assert check(model, cpu.RULES) == ()


@settings(max_examples=40, deadline=None)
@given(keep=st.frozensets(st.sampled_from([*LAYERS, "fc"])))
def test_whatever_is_kept_the_rules_hold(graph: Graphs, keep: frozenset[str]) -> None:
    model = residual(graph)
    quantize(model, observe(model, activations(model), [IMAGES], threads=1).ranges, keep=keep)
    assert check(model, cpu.RULES) == ()


def constant(model: ir.Model, name: str) -> ir.Value:
    return model.graph.initializers[name]


def signed_activations(model: ir.Model) -> None:
    for pair in ("b.q", "b.dq"):
        value = node(model, pair).inputs[2]
        assign(value, array_of(value).astype(np.int8))


def scale_of_zero(model: ir.Model) -> None:
    value = node(model, "b.q").inputs[1]
    assign(value, np.zeros_like(array_of(value)))


def scale_per_channel(model: ir.Model) -> None:
    value = node(model, "b.q").inputs[1]
    assign(value, np.ones(4, np.float32))


def unsigned_weights(model: ir.Model) -> None:
    value = constant(model, "block_conv1.weight.q")
    assign(value, array_of(value).astype(np.int32))


def least_weight(model: ir.Model) -> None:
    value = constant(model, "block_conv1.weight.q")
    changed = array_of(value).copy()
    changed[0, 0, 0, 0] = -128
    assign(value, changed)


def weights_off_zero(model: ir.Model) -> None:
    value = constant(model, "block_conv1.weight.zero")
    assign(value, array_of(value) + np.int8(1))


def one_scale_for_all(model: ir.Model) -> None:
    value = constant(model, "block_conv1.weight.scale")
    assign(value, array_of(value)[:1])


def floating_input(model: ir.Model) -> None:
    layer = node(model, "block_conv1")
    layer.replace_input_with(0, node(model, "b.q").inputs[0])


def a_second_reader(model: ir.Model) -> None:
    layer = node(model, "block_conv1")
    extra = ir.node("Relu", [layer.outputs[0]], name="extra")
    model.graph.insert_after(layer, [extra])


def floating_operand(model: ir.Model) -> None:
    add = node(model, "block_add")
    add.replace_input_with(0, node(model, "block_conv2").outputs[0])


def floating_bias(model: ir.Model) -> None:
    bias = initializer(model.graph, "own", np.zeros(4, np.float32))
    node(model, "block_conv1").replace_input_with(2, bias)


def bias_of_another_scale(model: ir.Model) -> None:
    value = constant(model, "block_conv1.bias.scale")
    assign(value, np.nextafter(array_of(value), np.float32(1)))


def short_bias(model: ir.Model) -> None:
    value = constant(model, "block_conv1.bias.q")
    assign(value, array_of(value).astype(np.int8))


def moved_to_another_grid(model: ir.Model) -> None:
    flatten = node(model, "flatten")
    quantizer = flatten.outputs[0].uses()[0].node
    value = quantizer.inputs[1]
    for pair in (quantizer, quantizer.outputs[0].uses()[0].node):
        other = initializer(model.graph, f"{pair.name}.other", array_of(value) * np.float32(2))
        pair.replace_input_with(1, other)


def rounded_output(model: ir.Model) -> None:
    logits = node(model, "fc").outputs[0]
    grid = node(model, "b.q").inputs[1:]
    down = ir.node("QuantizeLinear", [logits, *grid], name="down")
    up = ir.node("DequantizeLinear", [down.outputs[0], *grid], name="up")
    up.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    model.graph.insert_after(node(model, "fc"), [down, up])
    model.graph.outputs[0] = up.outputs[0]


def pair_of_two_grids(model: ir.Model) -> None:
    reader = node(model, "b.dq")
    value = initializer(model.graph, "other", array_of(reader.inputs[1]) * np.float32(2))
    reader.replace_input_with(1, value)


def infinite_weight_scale(model: ir.Model) -> None:
    value = constant(model, "block_conv1.weight.scale")
    assign(value, array_of(value) * np.float32("inf"))


def declared_unsigned(model: ir.Model) -> None:
    """Signed activations in a graph that declares them as they were before."""
    value = constant(model, "b.zero")
    before = value.type
    assign(value, array_of(value).astype(np.int8))
    value.type = before


def nan_in_a_bias(model: ir.Model) -> None:
    bias = initializer(model.graph, "own", np.full(4, np.nan, np.float32))
    layer = node(model, "block_conv1")
    layer.replace_input_with(2, bias)


BREACHES: dict[str, list[Callable[[ir.Model], None]]] = {
    "C1": [signed_activations, declared_unsigned, scale_of_zero, scale_per_channel],
    "C2": [
        unsigned_weights,
        least_weight,
        weights_off_zero,
        one_scale_for_all,
        infinite_weight_scale,
    ],
    "C3": [floating_input],
    "C4": [a_second_reader],
    "C5": [floating_operand],
    "C6": [floating_bias, bias_of_another_scale, short_bias],
    "C7": [moved_to_another_grid],
    "C8": [rounded_output],
    "C9": [pair_of_two_grids],
    "C10": [nan_in_a_bias],
}


def test_the_rules_are_those_of_the_docstring_and_all_are_broken_here() -> None:
    numbers = re.findall(r"^(C\d+) ", cpu.__doc__ or "", re.MULTILINE)
    assert numbers == [rule.number for rule in cpu.RULES.rules] == list(BREACHES)


@pytest.mark.parametrize(
    ("number", "change"),
    [
        pytest.param(number, change, id=f"{number}-{change.__name__}")
        for number, changes in BREACHES.items()
        for change in changes
    ],
)
def test_a_breach_is_found(
    integers: ir.Model, number: str, change: Callable[[ir.Model], None]
) -> None:
    change(integers)
    assert number in rules(integers)


def test_a_refusal_names_the_layer_and_the_rule(integers: ir.Model) -> None:
    least_weight(integers)
    with pytest.raises(ConversionError) as refusal:
        refuse(check(integers, cpu.RULES))
    assert "lint: block_conv1: a weight is −128" in str(refusal.value)
    assert "(INT8 rule C2)" in str(refusal.value)
