"""Modules beyond FP16 are named, and kept FP32 the network decides as before."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from quantized import Graphs, array, normal, residual
from sabotage import logits, stretch

from resnet_convert.graph.emulate import emulated
from resnet_convert.graph.half import halve
from resnet_convert.graph.initializers import assign
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.overflow import scan
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.lint.rules import check
from resnet_convert.lint.tensorrt import RULES
from resnet_convert.quantization import s8s8
from resnet_convert.quantization.calibrate import observe
from resnet_serve.errors import ConversionError, UsageError
from resnet_serve.parity import numerics
from resnet_serve.weights import Weights

HUGE = 2.0**16


@pytest.fixture
def images(digits: Weights, digits_pixels: NDArray[np.uint8]) -> list[NDArray[Any]]:
    return [digits.preprocessing.normalize(digits_pixels)]


def test_a_sound_network_fits(folded_digits: ir.Model, images: list[NDArray[Any]]) -> None:
    assert scan(folded_digits, images, threads=1) == ()


@pytest.mark.parametrize(
    ("reader", "writer"),
    [("layer1.1.conv2", "layer1.1.conv1"), ("layer3.2.conv2", "layer3.2.conv1")],
)
@pytest.mark.parametrize("raw", [True, False], ids=["uint8", "float32"])
def test_the_module_that_overflows_is_named_and_kept(
    reader: str,
    writer: str,
    raw: bool,
    folded_digits: ir.Model,
    digits: Weights,
    digits_pixels: NDArray[np.uint8],
    images: list[NDArray[Any]],
) -> None:
    stretch(folded_digits, reader, HUGE)
    if raw:
        take_pixels(folded_digits, digits.preprocessing)
        images = [digits_pixels]
    exact = logits(serialize(folded_digits), images)
    found = scan(folded_digits, images, threads=1)
    assert [overflow.module for overflow in found] == [writer]
    assert found[0].activation > 65504
    assert str(found[0]).startswith(f"{writer} has outputs up to ")

    half = halve(folded_digits, keep=frozenset({writer}))
    assert half.fp32_nodes == (writer, reader)
    assert check(folded_digits, RULES) == ()
    onnx.checker.check_model(ir.to_proto(folded_digits), full_check=True)
    answer = logits(emulated(folded_digits), images)
    np.testing.assert_array_equal(answer.argmax(axis=1), exact.argmax(axis=1))
    assert numerics.compare(exact, answer).sqnr_db > 40


def test_an_addition_that_overflows_is_a_module(graph: Graphs) -> None:
    """Up to the next convolutions: its ReLU too, and the addition of the block behind."""
    model, x = residual(graph), normal(4, 4, 6, 6)
    for name, factor in (("w3", 2.0**15), ("b3", 2.0**15)):
        assign(model.graph.initializers[name], factor * array(model, name))
    for name in ("w4", "w6"):
        assign(model.graph.initializers[name], array(model, name) / np.float32(2.0**15))
    exact = logits(serialize(model), [x])
    found = {overflow.module: overflow for overflow in scan(model, [x], threads=1)}
    assert list(found) == ["block_conv2", "block_add"]
    half = halve(model, keep=frozenset(found))
    assert half.fp32_nodes == ("block_conv2", "block_add", "down_conv1", "down_projection")
    assert check(model, RULES) == ()
    assert numerics.compare(exact, logits(emulated(model), [x])).sqnr_db > 40


def test_weights_that_overflow_are_named_and_kept(graph: Graphs) -> None:
    model, x = residual(graph), normal(4, 4, 6, 6)
    weights = array(model, "w7").copy()
    weights[0, 0] = 70000.0
    assign(model.graph.initializers["w7"], weights)
    exact = logits(serialize(model), [x * np.float32(1e-3)])
    found = scan(model, [x * np.float32(1e-3)], threads=1)
    assert [overflow.module for overflow in found] == ["fc"]
    assert found[0].weights == 70000.0
    assert "has weights up to 7e+04" in str(found[0])
    with pytest.raises(ConversionError, match="does not fit FP16"):
        halve(ir.from_proto(ir.to_proto(model)))
    halve(model, keep=frozenset({"fc"}))
    assert check(model, RULES) == ()
    assert model.graph.outputs[0].producer().name == "fc", "FP32 already: no Cast leaves"
    found_logits = logits(emulated(model), [x * np.float32(1e-3)])
    assert numerics.compare(exact, found_logits).sqnr_db > 40


def test_a_quantized_network_keeps_a_module_too(graph: Graphs) -> None:
    model, x = residual(graph), normal(4, 4, 6, 6)
    ranges = observe(model, s8s8.activations(model), [x], threads=1).ranges
    for keep in (["conv1"], ["block_add"], ["down_projection"], ["fc"], ["avgpool", "block_conv1"]):
        typed = ir.from_proto(ir.to_proto(model))
        s8s8.quantize(typed, ranges)
        before = logits(serialize(typed), [x])
        halve(typed, keep=frozenset(keep))
        assert check(typed, RULES) == (), keep
        onnx.checker.check_model(ir.to_proto(typed), full_check=True)
        assert numerics.compare(before, logits(emulated(typed), [x])).sqnr_db > 20, keep


def test_nothing_to_look_at_is_refused(folded_digits: ir.Model) -> None:
    with pytest.raises(UsageError, match="no images"):
        scan(folded_digits, [], threads=1)
