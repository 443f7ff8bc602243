"""Equalisation across blocks: the same function, and one scale for a channel of a whole stage."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from quantized import Graphs, Run, array, calibrated, normal, residual

from resnet_convert.graph.initializers import array_of, assign, bias_of, own_initializer, set_bias
from resnet_convert.graph.model_file import serialize
from resnet_convert.quantization.rewrites.equalize import LARGEST_SCALE, equalize
from resnet_convert.quantization.rewrites.streams import Streams, equalize_streams, follow
from resnet_serve.parity import numerics

PADDED = """(float[N,4,8,8] image) => (float[N,5] logits) {{
    [conv1] a = Conv <pads = [1,1,1,1]> (image, w1, b1)
    [relu] b = Relu (a)
    [pool] p = MaxPool <kernel_shape = [3,3], pads = [1,1,1,1]> (b)
    [conv2] c = Conv <pads = [1,1,1,1], strides = [2,2], group = {group}> (p, w2, b2)
    [slice] s = Slice (p, starts, ends, axes, steps)
    [pad] q = Pad (s, pads, value)
    [add] d = Add (c, q)
    [relu_1] e = Relu (d)
    [avgpool] f = GlobalAveragePool (e)
    [flatten] g = Flatten (f)
    [fc] logits = Gemm <transB = 1> (g, w3, b3)
}}"""


def padded(graph: Graphs, group: int = 1, value: float = 0.0, axis: int = 2) -> ir.Model:
    """A stage, and one of twice the channels behind a shortcut without weights."""
    large = 2**62
    return graph(
        PADDED.format(group=group),
        w1=normal(4, 4, 3, 3, seed=1),
        b1=normal(4, seed=2),
        w2=normal(8, 4 // group, 3, 3, seed=3),
        b2=normal(8, seed=4),
        w3=normal(5, 8, seed=5),
        b3=normal(5, seed=6),
        starts=np.array([0, 0]),
        ends=np.array([large, large]),
        axes=np.array([axis, 3]),
        steps=np.array([2 if axis == 2 else 1, 2]),
        pads=np.array([0, 2, 0, 0, 0, 2, 0, 0]),
        value=np.float32(value),
    )


def stretch(model: ir.Model, layer: str, channel: int, factor: float) -> None:
    """One channel of a stream larger at its writers and smaller at its readers."""
    channels = follow(model.graph)
    nodes = [node for node in model.graph if node.op_type in ("Conv", "Gemm")]
    first = next(node for node in nodes if node.name == layer)
    one = channels.roots(first.outputs[0])[channel]
    for node in nodes:
        weight = array_of(own_initializer(node, 1)).copy()
        bias = bias_of(node).copy()
        written = channels.roots(node.outputs[0]) == one
        weight[written] *= factor
        bias[written] *= factor
        if node.inputs[0] in channels.of:
            weight[:, channels.roots(node.inputs[0]) == one] /= factor
        assign(own_initializer(node, 1), weight)
        set_bias(model.graph, node, bias)


def largest(weights: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    return np.abs(np.moveaxis(weights, axis, 0)).reshape(weights.shape[axis], -1).max(axis=1)


def assert_same(run: Run, model: ir.Model, before: NDArray[np.float32], x: object) -> None:
    after = run(model, x)
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-5 * np.abs(before).max())


@settings(max_examples=10)
@given(factor=st.sampled_from([0.01, 0.5, 7.0, 64.0]), channel=st.integers(0, 3))
def test_residual_blocks_compute_the_same(
    graph: Graphs, run: Run, factor: float, channel: int
) -> None:
    model, x = residual(graph), normal(2, 4, 6, 6, seed=9)
    before = run(model, x)
    stretch(model, "block_conv2", channel, factor)
    assert_same(run, model, before, x)
    streams = equalize_streams(model).writers
    assert_same(run, model, before, x)
    assert sorted(streams) == [
        ("block_conv1",),
        ("conv1", "block_conv2"),
        ("down_conv1",),
        ("down_conv2", "down_projection"),
    ]


@pytest.mark.parametrize("group", [1, 2, 4])
def test_a_shortcut_without_weights_carries_channels_to_the_next_stage(
    graph: Graphs, run: Run, group: int
) -> None:
    model, x = padded(graph, group), normal(2, 4, 8, 8, seed=9)
    before = run(model, x)
    channels = follow(model.graph)
    first, second = (
        channels.roots(next(n for n in model.graph if n.name == name).outputs[0])
        for name in ("conv1", "conv2")
    )
    np.testing.assert_array_equal(second[2:6], first)
    if group == 1:
        stretch(model, "conv1", 1, 50.0)
        assert_same(run, model, before, x)
    assert equalize_streams(model).writers == (("conv1", "conv2"),)
    assert_same(run, model, before, x)


def test_writers_and_readers_end_up_of_one_size(graph: Graphs) -> None:
    model = residual(graph)
    stretch(model, "conv1", 2, 100.0)
    equalize_streams(model)
    written = np.maximum(largest(array(model, "w1"), 0), largest(array(model, "w3"), 0))
    read = np.max([largest(array(model, f"w{number}"), 1) for number in (2, 4, 6)], axis=0)
    np.testing.assert_allclose(written, read, rtol=5e-3)


def test_dead_channels_are_left_alone_and_scales_are_bounded(graph: Graphs, run: Run) -> None:
    model, x = residual(graph), normal(2, 4, 6, 6, seed=9)
    for number, where in ((1, 0), (3, 0)):
        weight = array(model, f"w{number}").copy()
        weight[where] = 0
        assign(model.graph.initializers[f"w{number}"], weight)
    stretch(model, "conv1", 1, 1e-20)
    before, bias = run(model, x), array(model, "b1").copy()
    equalize_streams(model)
    assert array(model, "b1")[0] == bias[0]
    assert np.abs(array(model, "b1") / bias).max() <= LARGEST_SCALE * (1 + 1e-6)
    assert_same(run, model, before, x)


REST = """
    [conv2] c = Conv <pads = [1,1,1,1]> (b, v)
    [avgpool] d = GlobalAveragePool (c)
    y = Flatten (d)
}"""
LEFT_ALONE = {
    "a sigmoid": "[act] b = Sigmoid (a)" + REST,
    "a SiLU": "[gate] s = Sigmoid (a)\n [act] b = Mul (a, s)" + REST,
    "a ReLU6": "[act] b = Clip (a, zero, six)" + REST,
    "an addition of a constant": "[act] b = Add (a, k)" + REST,
    "a flattened image": "[act] r = Relu (a)\n [flat] y = Flatten (r)\n}",
    "the output": "[relu] y = Relu (a)\n}",
}


@pytest.mark.parametrize("text", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_what_does_not_carry_a_scale_is_left_alone(graph: Graphs, text: str) -> None:
    head = "(float[N,4,6,6] x) => (float[N,M] y) {\n [conv1] a = Conv <pads = [1,1,1,1]> (x, w)\n "
    output = "(float[N,4,6,6] x) => (float[N,4,6,6] y) {\n [conv1] a = Conv <pads=[1,1,1,1]> (x, w)"
    given = {
        "w": normal(4, 4, 3, 3),
        "v": normal(4, 4, 3, 3, seed=1),
        "k": normal(1, 4, 1, 1, seed=2),
        "zero": np.float32(0),
        "six": np.float32(6),
    }
    used = {name: each for name, each in given.items() if f"{name})" in text or f"{name}," in text}
    model = graph((output if "Relu (a)\n}" in text else head) + text, **{"w": given["w"], **used})
    before = serialize(model)
    assert equalize_streams(model) == Streams((), {})
    assert serialize(model) == before


@pytest.mark.parametrize(("value", "axis"), [(1.0, 2), (0.0, 1)])
def test_channels_are_not_followed_through_other_pads_and_slices(
    graph: Graphs, value: float, axis: int
) -> None:
    streams = equalize_streams(padded(graph, value=value, axis=axis)).writers
    writers = {layer for stream in streams for layer in stream}
    assert "conv1" not in writers, "what a Pad by ones or a Slice of channels reads keeps its scale"


def test_int8_recovers_from_a_channel_of_a_stage_that_was_blown_up(
    folded_digits: ir.Model, digits_pixels: NDArray[np.uint8], run: Run
) -> None:
    """What equalisation within blocks does not reach."""
    planes = (digits_pixels.transpose(0, 3, 1, 2) / 64 - 2).astype(np.float32)
    expected = run(folded_digits, planes)
    stretch(folded_digits, "layer2.0.conv2", 20, 64.0)
    assert_same(run, folded_digits, expected, planes)

    def sqnr_db(model: ir.Model) -> float:
        copy = ir.from_proto(ir.to_proto(model))
        calibrated(copy, planes)
        return numerics.compare(expected, run(copy, planes)).sqnr_db

    within, across = folded_digits.clone(), folded_digits.clone()
    equalize(within)
    equalize_streams(across)
    assert_same(run, across, expected, planes)
    assert sqnr_db(across) > max(sqnr_db(within), sqnr_db(folded_digits)) + 6
