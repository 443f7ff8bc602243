"""The integers of a quantized layer: simulated, and at the edges of their 8 and 32 bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quantized import LAYER, Graphs, Run, array, calibrated, normal, one_layer

from resnet_convert.graph.model_file import serialize
from resnet_convert.quantization.ranges import Range
from resnet_convert.quantization.u8s8 import quantize
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime


@settings(max_examples=40)
@given(
    group=st.sampled_from([1, 2]),
    inputs=st.integers(1, 3),
    outputs=st.integers(1, 4),
    kernel=st.integers(1, 3),
    pads=st.lists(st.integers(0, 2), min_size=4, max_size=4),
    stride=st.integers(1, 2),
    offset=st.floats(-3, 3),
    spread=st.sampled_from([0.01, 1.0, 100.0]),
    seed=st.integers(0, 10_000),
)
def test_onnx_runtime_computes_what_the_integers_say(
    group: int,
    inputs: int,
    outputs: int,
    kernel: int,
    pads: list[int],
    stride: int,
    offset: float,
    spread: float,
    seed: int,
    graph: Graphs,
    run: Run,
) -> None:
    text = LAYER.format(
        inputs=group * inputs, pads=",".join(map(str, pads)), stride=stride, group=group
    )
    w = normal(group * outputs, inputs, kernel, kernel, seed=seed)
    w *= np.float32(10.0) ** np.random.default_rng(seed).integers(-2, 2, (len(w), 1, 1, 1))
    b = normal(group * outputs, seed=seed + 1, scale=spread)
    x = (spread * (normal(3, group * inputs, 5, 4, seed=seed + 2) + offset)).astype(np.float32)
    model = graph(text, w=w, b=b)
    calibrated(model, x)
    # Simulated from the constants in the file, in exact integers.
    sx, zx = array(model, "image.scale").astype(float), int(array(model, "image.zero"))
    sy, zy = array(model, "r.scale").astype(float), int(array(model, "r.zero"))
    q = np.clip(np.rint(x / np.float32(sx)) + zx, 0, 255).astype(np.int64) - zx
    top, left, bottom, right = pads
    q = np.pad(q, ((0, 0), (0, 0), (top, bottom), (left, right)))
    products = torch.nn.functional.conv2d(
        torch.from_numpy(q).double(),
        torch.from_numpy(array(model, "conv.weight.q")).double(),
        torch.from_numpy(array(model, "conv.bias.q")).double(),
        stride=stride,
        groups=group,
    ).numpy()
    assert np.abs(products).max() < 2**31, "the sum would overflow 32 bits"
    real = products * array(model, "conv.bias.scale").astype(float)[:, None, None]
    expected = np.clip(np.rint(real / sy) + zy, 0, 255) - zy
    answer = run(model, x).reshape(expected.shape) / sy
    # The runtime rounds with FP32 multipliers: a tie may fall to the other side.
    assert np.abs(answer - expected).max() <= 1.001
    assert (np.abs(answer - expected) > 0.001).mean() < 0.02
    if x.size * outputs > 20:
        assert onnxruntime_runtime.compiled(serialize(model)).operators["QLinearConv"] == 1


@settings(max_examples=100)
@given(low=st.floats(-(2.0**100), 2.0**100), high=st.floats(-(2.0**100), 2.0**100))
def test_every_grid_contains_zero_exactly(low: float, high: float, graph: Graphs) -> None:
    low, high = min(low, high), max(low, high)
    model = graph(
        "(float[N,3,2,2] image) => (float[N,12] y) {"
        " [cat] a = Concat <axis = 1> (image, image) [flatten] y = Flatten (a) }"
    )
    quantize(model, {"image": Range(low, high), "a": Range(low, high)})
    scale, zero = float(array(model, "image.scale")), int(array(model, "image.zero"))
    assert 0 <= zero <= 255
    assert scale > 0
    assert np.isfinite(scale)
    # Every value of the range is within a step of one on the grid.
    assert (0 - zero) * scale <= min(low, 0) + 1.01 * scale
    assert (255 - zero) * scale >= max(high, 0) - 1.01 * scale


def test_dead_channels_answer_their_bias(graph: Graphs, run: Run) -> None:
    w = normal(4, 2, 1, 1)
    w[[1, 2, 3]] = 0
    b = np.array([0.5, 3.25, 0.0, 1e-36], np.float32)
    model = one_layer(graph, w, b)
    x = normal(4, 2, 5, 4)
    with np.errstate(all="raise", under="ignore"):
        found = calibrated(model, x)
    assert found.coarsened_channels == 0
    answer = run(model, x).reshape(4, 4, 5, 4)
    step = float(array(model, "r.scale"))
    np.testing.assert_allclose(answer[:, 1], 3.25, atol=step / 2 + 1e-6)
    np.testing.assert_array_equal(answer[:, 2:], 0)
    assert np.isfinite(array(model, "conv.bias.scale")).all()
    assert (array(model, "conv.bias.scale") > 0).all()


def test_a_huge_bias_over_tiny_weights_coarsens_them(graph: Graphs, run: Run) -> None:
    w = np.array([1e-7, 0.5], np.float32).reshape(2, 1, 1, 1)
    model = one_layer(graph, w, np.array([1e4, 0.5]))
    x = np.abs(normal(4, 1, 5, 4))
    assert calibrated(model, x).coarsened_channels == 1
    step = array(model, "conv.bias.scale").astype(float)
    bias = array(model, "conv.bias.q") * step
    assert (np.abs(bias - [1e4, 0.5]) <= 0.501 * step).all()
    np.testing.assert_allclose(bias, [1e4, 0.5], rtol=5e-5)
    answer = run(model, x).reshape(4, 2, 5, 4)
    np.testing.assert_allclose(answer[:, 0], 1e4, rtol=1e-2)


@pytest.mark.parametrize("factor", [0.2, 0.49, 0.51, 0.9, 1.0, 1.5, 10.0])
def test_the_sum_never_overflows_beside_a_large_bias(
    factor: float, graph: Graphs, run: Run
) -> None:
    """At `factor` 1 the bias alone would fill 32 bits, and the products overflow them."""
    inputs = 64
    x = np.ones((2, inputs, 5, 4), np.float32)
    x[0, 0, 0, 0] = 0
    w = np.full((2, inputs, 1, 1), 0.127, np.float32)
    b = np.full(2, factor * (2**31 - 2) * (0.127 / 127) / 255)
    model = one_layer(graph, w, b)
    calibrated(model, x)
    exact = b[0] + 0.127 * inputs
    answer = run(model, x).reshape(2, 2, 5, 4)[1]
    np.testing.assert_allclose(answer, exact, rtol=0.01)


def test_subnormal_weights_do_not_break_the_arithmetic(graph: Graphs, run: Run) -> None:
    w = np.array([1e-42, 1e-30, 1.0], np.float32).reshape(3, 1, 1, 1)
    model = one_layer(graph, w, np.array([1e-40, 0.0, 0.0]))
    x = np.abs(normal(4, 1, 5, 4))
    with np.errstate(all="raise", under="ignore"):
        calibrated(model, x)
    answer = run(model, x).reshape(4, 3, 5, 4)
    np.testing.assert_array_equal(answer[:, :2], 0)
    np.testing.assert_allclose(answer[:, 2], x[:, 0], atol=float(array(model, "r.scale")))


def test_a_tensor_that_is_always_zero(graph: Graphs, run: Run) -> None:
    model = one_layer(graph, normal(3, 2, 1, 1), np.array([1.0, 2.0, 3.0]))
    x = np.zeros((4, 2, 5, 4), np.float32)
    calibrated(model, x)
    answer = run(model, x).reshape(4, 3, -1)
    np.testing.assert_allclose(answer.mean((0, 2)), [1, 2, 3], atol=0.01)


def test_a_tensor_that_is_as_good_as_zero(graph: Graphs, run: Run) -> None:
    model = one_layer(graph, normal(3, 2, 1, 1), np.array([1e4, 2e4, 3e4]))
    x = 1e-42 * np.ones((4, 2, 5, 4), np.float32)
    with np.errstate(all="raise", under="ignore"):
        calibrated(model, x)
    answer = run(model, x).reshape(4, 3, -1)
    np.testing.assert_allclose(answer.mean((0, 2)), [1e4, 2e4, 3e4], rtol=0.01)
