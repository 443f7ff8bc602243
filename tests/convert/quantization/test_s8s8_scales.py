"""The scales of symmetric pairs: numbers that FP16 holds, and that clip nothing: rule 8."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from quantized import Graphs, Run, array, normal, residual, symmetric_residual

from resnet_convert.graph.emulate import emulated
from resnet_convert.graph.half import halve
from resnet_convert.quantization.ranges import Range
from resnet_convert.quantization.s8s8 import (
    activations,
    quantize,
)
from resnet_serve.errors import ConversionError
from resnet_serve.parity import numerics
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime


def ranges(model: ir.Model, low: float = -1.0, high: float = 2.0) -> dict[str, Range]:
    return dict.fromkeys(activations(model), Range(low, high))


def one_layer(graph: Graphs, w: NDArray[Any]) -> ir.Model:
    """A linear layer of one feature: quantized to INT8 and to FP8 alike."""
    return graph(
        "(float[N,1] image) => (float[N,F] y) { [fc] y = Gemm <transB = 1> (image, w) }",
        w=w.astype(np.float32).reshape(-1, 1),
    )


@settings(max_examples=200, deadline=None)
@given(largest=st.floats(1e-12, 127 * 65504.0), number=st.sampled_from(["int8", "fp8"]))
def test_a_scale_is_an_fp16_number_and_clips_nothing(
    graph: Graphs, largest: float, number: str
) -> None:
    model = one_layer(graph, normal(2))
    quantize(model, {"image": Range(-largest, largest / 2)}, number)
    scale = float(array(model, "image.scale"))
    top = {"int8": 127, "fp8": 448}[number]
    assert scale == float(np.float16(scale)) > 0
    assert largest <= (top + 0.5) * scale
    # Above the subnormal numbers the grid is no coarser than FP16 must make it.
    if largest / top > 6.2e-5:
        assert scale == pytest.approx(largest / top, rel=2**-10)


@settings(max_examples=100, deadline=None)
@given(
    w=st.lists(st.floats(-(2.0**22), 2.0**22, width=32), min_size=1, max_size=5),
    number=st.sampled_from(["int8", "fp8"]),
)
def test_typing_the_graph_changes_no_weight(graph: Graphs, w: list[float], number: str) -> None:
    model = one_layer(graph, np.array(w))
    quantize(model, ranges(model), number)
    before = {n: v.const_value.numpy().copy() for n, v in model.graph.initializers.items()}
    halve(model)
    for name, exact in before.items():
        now = array(model, name)
        np.testing.assert_array_equal(now.astype(np.float32), exact.astype(np.float32))
    if number == "int8":
        step = array(model, "fc.weight.scale").astype(np.float64)
        error = array(model, "fc.weight.q").reshape(-1) * step - np.array(w)
        assert (np.abs(error) <= 0.5001 * step).all()


def test_zeros_have_scale_one(graph: Graphs) -> None:
    model = one_layer(graph, np.array([0.0, 1.0]))
    quantize(model, {"image": Range(0.0, 0.0)})
    assert array(model, "image.scale") == 1
    assert array(model, "fc.weight.scale")[0] == 1
    assert not array(model, "fc.weight.q")[0].any()


@pytest.mark.parametrize("number", ["int8", "fp8"])
def test_what_fp16_cannot_scale_is_refused_and_named(graph: Graphs, number: str) -> None:
    huge = 65504.0 * 460
    with pytest.raises(ConversionError, match="beyond FP16") as refusal:
        quantize(one_layer(graph, np.array([1.0, huge])), {"image": Range(0, 1)}, number)
    assert refusal.value.where == f"{number}: fc"
    with pytest.raises(ConversionError, match="beyond FP16") as refusal:
        quantize(one_layer(graph, np.ones(2)), {"image": Range(0, huge)}, number)
    assert refusal.value.where == f"{number}: fc"


def test_fp32_and_fp16_mean_the_same(graph: Graphs, run: Run) -> None:
    model, x = symmetric_residual(graph), normal(8, 4, 6, 6, seed=99)
    exact = run(residual(graph), x)
    before = run(model, x)
    halve(model)
    with onnxruntime_runtime.load(emulated(model), threads=1) as session:
        after = session.run(x)
    assert numerics.compare(exact, after).sqnr_db > 25
    assert numerics.compare(before, after).sqnr_db > numerics.compare(exact, after).sqnr_db
