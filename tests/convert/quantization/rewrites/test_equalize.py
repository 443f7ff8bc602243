"""Equalisation: the same function, with channels of one size between the convolutions."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from quantized import Graphs, Run, array, calibrated, normal, residual

from resnet_convert.graph.initializers import array_of, assign
from resnet_convert.graph.model_file import serialize
from resnet_convert.quantization.rewrites.equalize import LARGEST_SCALE, equalize
from resnet_serve.parity import numerics

CHAIN = """(float[N,3,6,6] x) => (float[N,4,6,6] y) {{
    [conv1] a = Conv <pads = [1,1,1,1]> (x, w1, b1)
    [relu1] b = Relu (a)
    [conv2] c = Conv <pads = [1,1,1,1], group = {group}> (b, w2, b2)
    [relu2] d = Relu (c)
    [conv3] y = Conv (d, w3)
}}"""


def constants(group: int = 1, *, spread: float = 3.0) -> dict[str, NDArray[np.float32]]:
    """Channels whose sizes differ by powers of ten."""
    sizes = np.exp(np.random.default_rng(0).normal(0, spread, 8)).astype(np.float32)
    return {
        "w1": normal(8, 3, 3, 3) * sizes.reshape(-1, 1, 1, 1),
        "b1": normal(8, seed=1) * sizes,
        "w2": normal(8, 8 // group, 3, 3, seed=2),
        "b2": normal(8, seed=3),
        "w3": normal(4, 8, 1, 1, seed=4),
    }


def sizes(weights: NDArray[np.float32], *, axis: int) -> NDArray[np.float32]:
    return np.abs(np.moveaxis(weights, axis, 0)).reshape(weights.shape[axis], -1).max(axis=1)


@pytest.mark.parametrize("group", [1, 2, 8])
@settings(max_examples=10)
@given(spread=st.floats(0, 1.5))
def test_the_function_is_preserved(graph: Graphs, run: Run, group: int, spread: float) -> None:
    text, made = CHAIN.format(group=group), constants(group, spread=spread)
    x = normal(2, 3, 6, 6, seed=9)
    before = run(graph(text, **made), x)
    model = graph(text, **made)
    found = equalize(model)
    assert found.pairs == (("conv1", "conv2"), ("conv2", "conv3"))
    after = run(model, x)
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * np.abs(before).max())


def test_both_sides_of_a_pair_end_up_of_one_size(graph: Graphs) -> None:
    model = graph(CHAIN.format(group=1), **constants(spread=1.0))
    before = sizes(array(model, "w1"), axis=0)
    found = equalize(model)
    first, second, third = (array(model, name) for name in ("w1", "w2", "w3"))
    np.testing.assert_allclose(sizes(first, axis=0), sizes(second, axis=1), rtol=5e-3)
    np.testing.assert_allclose(sizes(second, axis=0), sizes(third, axis=1), rtol=5e-3)
    assert np.ptp(np.log(sizes(first, axis=0))) < np.ptp(np.log(before))
    assert 1 < found.largest_scale < LARGEST_SCALE


def test_every_input_of_a_group_is_scaled_with_its_own_channel(graph: Graphs) -> None:
    made = constants(2, spread=0.5)
    made["w1"][5] *= 100
    model = graph(CHAIN.format(group=2), **made)
    equalize(model)
    ratio = array(model, "w2")[4:, 1] / made["w2"][4:, 1]  # channel 5 is the second of its group
    others = array(model, "w2")[:4, 1] / made["w2"][:4, 1]
    assert ratio.min() > 3 * others.max()


def test_dead_channels_are_left_alone_and_scales_are_bounded(graph: Graphs, run: Run) -> None:
    made = constants(spread=0.5)
    made["w1"][0] = 0
    made["w2"][:, 1] = 0
    made["w1"][2] *= 1e-20
    x = normal(1, 3, 6, 6)
    before = run(graph(CHAIN.format(group=1), **made), x)
    model = graph(CHAIN.format(group=1), **made)
    found = equalize(model)
    np.testing.assert_array_equal(array(model, "b1")[:2], made["b1"][:2])
    assert found.largest_scale == pytest.approx(LARGEST_SCALE)
    assert np.abs(array(model, "b1")).max() <= LARGEST_SCALE * np.abs(made["b1"]).max()
    np.testing.assert_allclose(run(model, x), before, rtol=0, atol=1e-5 * np.abs(before).max())


@pytest.mark.parametrize(
    "text",
    [
        # Read by an Add too, leaving the graph, or not through a ReLU: no pair.
        """(float[N,4,6,6] x) => (float[N,4,6,6] y) {
            a = Conv <pads = [1,1,1,1]> (x, w)
            b = Relu (a)
            c = Conv <pads = [1,1,1,1]> (b, v)
            y = Add (c, b)
        }""",
        """(float[N,4,6,6] x) => (float[N,4,6,6] y, float[N,4,6,6] b) {
            a = Conv <pads = [1,1,1,1]> (x, w)
            b = Relu (a)
            y = Conv <pads = [1,1,1,1]> (b, v)
        }""",
        """(float[N,4,6,6] x) => (float[N,4,6,6] y) {
            a = Conv <pads = [1,1,1,1]> (x, w)
            b = Sigmoid (a)
            y = Conv <pads = [1,1,1,1]> (b, v)
        }""",
        """(float[N,4,6,6] x) => (float[N,4,4,4] y) {
            a = Conv <pads = [1,1,1,1]> (x, w)
            b = Relu (a)
            c = MaxPool <kernel_shape = [3,3]> (b)
            y = Conv <pads = [1,1,1,1]> (c, v)
        }""",
    ],
)
def test_what_is_no_pair_is_left_alone(graph: Graphs, text: str) -> None:
    model = graph(text, w=normal(4, 4, 3, 3), v=normal(4, 4, 3, 3, seed=1))
    before = serialize(model)
    assert equalize(model).pairs == ()
    assert serialize(model) == before


def test_pairs_never_cross_an_add(graph: Graphs) -> None:
    found = equalize(residual(graph))
    assert found.pairs == (("block_conv1", "block_conv2"), ("down_conv1", "down_conv2"))


def test_the_digits_network_answers_the_same(folded_digits: ir.Model, run: Run) -> None:
    x = normal(4, 3, 32, 32)
    before = run(folded_digits, x)
    found = equalize(folded_digits)
    assert len(found.pairs) == 9
    assert ("layer1.0.conv1", "layer1.0.conv2") in found.pairs
    after = run(folded_digits, x)
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * np.abs(before).max())


def test_int8_recovers_from_a_channel_that_was_blown_up(
    folded_digits: ir.Model, digits_pixels: NDArray[np.uint8], run: Run
) -> None:
    """One channel 64 times larger in front of a ReLU and 64 times smaller behind it."""
    weight, bias, reader = (
        folded_digits.graph.initializers[name]
        for name in ("layer2.1.conv1.weight", "layer2.1.conv1.bias", "layer2.1.conv2.weight")
    )
    for value, factor, where in ((weight, 64, 3), (bias, 64, 3), (reader, 1 / 64, np.s_[:, 3])):
        changed = array_of(value).copy()
        changed[where] *= factor
        assign(value, changed)
    planes = (digits_pixels.transpose(0, 3, 1, 2) / 64 - 2).astype(np.float32)

    def quantized_sqnr() -> float:
        copy = ir.from_proto(ir.to_proto(folded_digits))
        calibrated(copy, planes)
        return numerics.compare(run(folded_digits, planes), run(copy, planes)).sqnr_db

    blown_up = quantized_sqnr()
    equalize(folded_digits)
    assert quantized_sqnr() > blown_up + 1
