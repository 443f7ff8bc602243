"""The rules of s8s8.py, one by one, on graphs that are read at a glance."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from quantized import Graphs, Run, array, node, normal, residual, symmetric_residual

from resnet_convert.graph.emulate import emulated
from resnet_convert.graph.half import halve
from resnet_convert.graph.pixels import take_pixels
from resnet_convert.lint.rules import check
from resnet_convert.lint.tensorrt import RULES
from resnet_convert.quantization.calibrate import observe
from resnet_convert.quantization.qdq import Quantization
from resnet_convert.quantization.ranges import Range
from resnet_convert.quantization.s8s8 import (
    LARGEST,
    activations,
    quantize,
)
from resnet_serve.datasets import pixel_batches
from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.selection import spread
from resnet_serve.errors import ConversionError
from resnet_serve.parity import numerics
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.weights import Weights


def readers(model: ir.Model, tensor: str) -> set[str]:
    """Who reads a tensor through its pair."""
    return {str(use.node.name) for use in node(model, f"{tensor}.dq").outputs[0].uses()}


def quantizers(model: ir.Model) -> list[str]:
    return [str(n.name) for n in model.graph if n.op_type == "QuantizeLinear"]


def ranges(model: ir.Model, low: float = -1.0, high: float = 2.0) -> dict[str, Range]:
    return dict.fromkeys(activations(model), Range(low, high))


def test_a_pair_per_tensor_and_one_operand_of_every_add(graph: Graphs) -> None:
    model = residual(graph)
    assert activations(model) == ("image", "b", "d", "g", "i", "k", "m", "n")
    found = quantize(model, ranges(model))
    assert found == Quantization(layers=7, activations=8, floating=())
    assert set(quantizers(model)) == {"image.q", *(f"{t}.q" for t in "bdgikmo")}
    # The identity shortcut shares its block's pair; the projection has its own, behind its Conv.
    assert readers(model, "b") == {"block_conv1", "block_add"}
    assert readers(model, "g") == {"down_conv1", "down_projection"}
    assert readers(model, "k") == {"down_add"}
    assert readers(model, "m") == {"avgpool"}
    assert readers(model, "o") == {"fc"}


def test_nothing_stands_inside_a_kernel(graph: Graphs) -> None:
    model = symmetric_residual(graph)
    for name, before in (
        ("relu", "conv1"),
        ("block_relu", "block_conv1"),
        ("block_relu_1", "block_add"),
        ("down_relu_1", "down_add"),
    ):
        assert node(model, name).inputs[0].producer() is node(model, before)
    assert node(model, "block_add").inputs[0].producer() is node(model, "block_conv2")
    assert node(model, "down_add").inputs[1].producer() is node(model, "down_conv2")


def test_the_pool_and_the_logits_stay_floating(graph: Graphs) -> None:
    model = symmetric_residual(graph)
    assert node(model, "flatten").inputs[0].producer() is node(model, "avgpool")
    assert model.graph.outputs[0].producer() is node(model, "fc")
    assert model.graph.outputs[0].dtype == ir.DataType.FLOAT


def test_biases_stay_as_they_were(graph: Graphs) -> None:
    exact, model = residual(graph), symmetric_residual(graph)
    for index in range(1, 8):
        np.testing.assert_array_equal(array(model, f"b{index}"), array(exact, f"b{index}"))
    assert not any(name in model.graph.initializers for name in ("w1", "w7"))


OPTION_A = """(float[N,4,8,8] image) => (float[N,512] y) {
    [conv1] a = Conv <pads = [1,1,1,1]> (image, w, b)
    [relu] r = Relu (a)
    [conv2] c = Conv <pads = [1,1,1,1], strides = [2,2]> (r, v)
    [slice] s = Slice (r, starts, ends, axes, steps)
    [pad] p = Pad (s, pads)
    [add] d = Add (c, p)
    [flatten] y = Flatten (d)
}"""


def test_an_option_a_shortcut_takes_the_scale_of_what_was_moved(graph: Graphs) -> None:
    model = graph(
        OPTION_A,
        w=normal(4, 4, 3, 3),
        b=normal(4),
        v=normal(8, 4, 3, 3, seed=2),
        starts=np.array([0, 0]),
        ends=np.array([8, 8]),
        axes=np.array([2, 3]),
        steps=np.array([2, 2]),
        pads=np.array([0, 2, 0, 0, 0, 2, 0, 0]),
    )
    assert activations(model) == ("image", "r")
    quantize(model, {"image": Range(-1, 1), "r": Range(0, 6.35)})
    assert quantizers(model) == ["image.q", "r.q", "p.q"]
    assert float(array(model, "p.scale")) == float(array(model, "r.scale")) == np.float16(0.05)
    assert readers(model, "p") == {"add"}


def test_grids_are_symmetric_and_typed_by_their_zeros(graph: Graphs) -> None:
    for number, dtype in (("int8", ir.DataType.INT8), ("fp8", ir.DataType.FLOAT8E4M3FN)):
        model = symmetric_residual(graph, number, channels=16)
        zeros = [v for name, v in model.graph.initializers.items() if name.endswith(".zero")]
        assert {value.dtype for value in zeros} == {dtype}
        assert not any(v.const_value.numpy().astype(np.float32).any() for v in zeros)


def test_weights_are_integers_per_channel_of_the_rounded_scale(graph: Graphs) -> None:
    exact, model = residual(graph), symmetric_residual(graph)
    for layer, name in (("conv1", "w1"), ("fc", "w7")):
        weight = array(exact, name).astype(np.float64)
        integers, scale = array(model, f"{layer}.weight.q"), array(model, f"{layer}.weight.scale")
        assert (integers.dtype, scale.shape) == (np.int8, (len(weight),))
        assert integers.min() >= -127
        np.testing.assert_array_equal(scale, scale.astype(np.float16))
        step = scale.reshape((-1,) + (1,) * (weight.ndim - 1)).astype(np.float64)
        np.testing.assert_array_equal(integers, np.clip(np.rint(weight / step), -127, 127))
        assert (np.abs(integers * step - weight) <= 0.5 * step).all()
        assert node(model, f"{layer}.weight.dq").attributes["axis"].as_int() == 0


def test_fp8_leaves_large_kernels_and_few_channels_floating(graph: Graphs) -> None:
    model = graph(
        """(float[N,3,9,9] image) => (float[N,16,9,9] y) {
            [stem] a = Conv <pads = [3,3,3,3]> (image, w1)
            [wide] b = Conv <pads = [3,3,3,3]> (a, w2)
            [grouped] c = Conv <group = 16> (b, w3)
            [narrow] d = Conv (c, w4)
            [back] e = Conv (d, w5)
            [add] y = Add (e, c)
        }""",
        w1=normal(16, 3, 7, 7),
        w2=normal(16, 16, 7, 7),
        w3=normal(16, 1, 1, 1),
        w4=normal(8, 16, 1, 1),
        w5=normal(16, 8, 1, 1),
    )
    found = quantize(model, ranges(model), "fp8")
    assert found.floating == ("stem", "wide", "narrow", "back")
    assert (found.layers, found.activations) == (1, 1)
    # The Add of a floating convolution is floating too.
    assert quantizers(model) == ["b.q"]


def test_opset_and_ir_version_are_those_of_fp16_scales(graph: Graphs) -> None:
    model = symmetric_residual(graph)
    assert (model.graph.opset_imports[""], model.ir_version) == (19, 9)


def test_a_mean_is_written_as_opset_19_has_it(graph: Graphs, run: Run) -> None:
    text = """(float[N,3,4,4] image) => (float[N,2] y) {
        [conv] a = Conv (image, w)
        [mean] y = ReduceMean <axes = [2,3], keepdims = 0> (a)
    }"""
    model = graph(text, w=normal(2, 3, 1, 1))
    x = normal(4, 3, 4, 4)
    exact = run(model, x)
    quantize(model, ranges(model, -4, 4))
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert numerics.compare(exact, run(model, x)).sqnr_db > 30


def test_shared_weights_are_refused_and_named(graph: Graphs) -> None:
    model = graph(
        "(float[N,3,5,5] image) => (float[N,3,5,5] y) {"
        " [one] a = Conv (image, w) [two] y = Conv (a, w) }",
        w=normal(3, 3, 1, 1),
    )
    with pytest.raises(ConversionError, match="'w' is shared by one, two"):
        quantize(model, ranges(model))


@pytest.mark.parametrize("raw", [True, False], ids=["uint8", "float32"])
@pytest.mark.parametrize(("number", "least_db"), [("int8", 24), ("fp8", 15)])
def test_digits_stay_close_to_fp32(
    number: str,
    least_db: float,
    raw: bool,
    folded_digits: ir.Model,
    digits: Weights,
    digits_pixels: NDArray[np.uint8],
    run: Run,
) -> None:
    taken: NDArray[Any] = digits.preprocessing.normalize(digits_pixels)
    if raw:
        take_pixels(folded_digits, digits.preprocessing)
        taken = digits_pixels
    exact = run(folded_digits, taken)
    seen = observe(folded_digits, activations(folded_digits), [taken], threads=1)
    found = quantize(folded_digits, seen.ranges, number)
    assert found.layers == (20 if number == "int8" else 19)
    halve(folded_digits)
    onnx.checker.check_model(ir.to_proto(folded_digits), full_check=True)
    with onnxruntime_runtime.load(emulated(folded_digits), threads=1) as session:
        result = numerics.compare(exact, session.run(taken))
    assert result.sqnr_db > least_db
    assert result.cosine > 0.97


def test_decisions_on_held_out_digits_are_those_of_the_fp16_graph(
    folded_digits: ir.Model, digits: Weights
) -> None:
    take_pixels(folded_digits, digits.preprocessing)
    calibrating = pixel_batches(spread(Digits(held_out=False), 128), digits.preprocessing, 32)
    held_out = list(pixel_batches(Digits(held_out=True), digits.preprocessing, 50))
    seen = observe(folded_digits, activations(folded_digits), calibrating, threads=2)
    half, integer = folded_digits.clone(), folded_digits
    quantize(integer, seen.ranges)
    decisions = []
    for model in (half, integer):
        halve(model)
        with onnxruntime_runtime.load(emulated(model), threads=2) as session:
            decisions.append(np.concatenate([session.run(p).argmax(axis=1) for p in held_out]))
    assert len(decisions[0]) == 500
    assert (decisions[0] == decisions[1]).mean() >= 0.998


LAYERS = ("conv1", "block_conv1", "block_conv2", "down_conv1", "down_conv2", "down_projection")


@settings(max_examples=64)
@given(
    keep=st.frozensets(st.sampled_from([*LAYERS, "fc"])), number=st.sampled_from(sorted(LARGEST))
)
def test_whatever_is_kept_the_rules_of_tensorrt_hold(
    graph: Graphs, run: Run, keep: frozenset[str], number: str
) -> None:
    model, x = residual(graph, 16), normal(4, 16, 6, 6, seed=99)
    exact = run(model, x)
    ranges = observe(model, activations(model), [x], threads=1).ranges
    found = quantize(model, ranges, number, keep=keep)
    assert set(found.floating) == keep
    assert found.layers == 7 - len(keep)
    for name in keep:
        assert all(v.producer() is None for v in node(model, name).inputs[1:]), "weights as given"
        reads = node(model, name).inputs[0].producer()
        assert reads is None or reads.op_type != "DequantizeLinear"
    halve(model)
    assert check(model, RULES) == ()
    with onnxruntime_runtime.load(emulated(model), threads=1) as session:
        assert numerics.compare(exact, session.run(x)).sqnr_db > 15


def test_a_kept_layer_reads_as_written_beside_a_pair(graph: Graphs) -> None:
    model = residual(graph)
    quantize(model, ranges(model), keep=frozenset({"block_conv1"}))
    assert node(model, "block_conv1").inputs[0].producer() is node(model, "relu")
    assert readers(model, "b") == {"block_add"}


def test_the_add_of_a_kept_layer_is_floating(graph: Graphs) -> None:
    model = residual(graph)
    quantize(model, ranges(model), keep=frozenset({"down_conv2"}))
    assert node(model, "down_add").inputs[0].producer() is node(model, "down_projection")
    model = residual(graph)
    # Where the projection is kept, the main path still fuses with its Add.
    quantize(model, ranges(model), keep=frozenset({"down_projection"}))
    assert readers(model, "k") == {"down_add"}


def test_an_unknown_layer_is_refused(graph: Graphs) -> None:
    with pytest.raises(ConversionError, match="no layer 'down_conv3' to keep") as refusal:
        quantize(residual(graph), {}, keep=frozenset({"down_conv3"}))
    assert "down_conv1" in str(refusal.value.remedy)
    assert refusal.value.where == "int8"
