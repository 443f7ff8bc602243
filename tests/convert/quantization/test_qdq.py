"""A pair rounds what its readers read, and stored integers are weights again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from quantized import Graphs, node, normal, operators

from resnet_convert.graph.nodes import dequantized_name, dequantizer, readers_of
from resnet_convert.quantization.qdq import insert_constant, insert_pair

Run = Callable[..., NDArray[Any]]
TWO_READERS = """(float[N,3] x) => (float[N,3] y) {
    [neg] a = Neg (x)
    [one] b = Relu (a)
    [two] c = Neg (a)
    [sum] y = Add (b, c)
}"""


def test_only_the_readers_that_are_named_read_the_pair(graph: Graphs, run: Run) -> None:
    model = graph(TWO_READERS)
    x = np.float32([[-1.3, 0.2, 60.0]])
    value = node(model, "neg").outputs[0]
    insert_pair(
        model.graph,
        value,
        np.asarray(0.5, np.float32),
        np.asarray(0, np.int8),
        name="a",
        uses=[(node(model, "one"), 0)],
    )
    assert operators(model) == ["Neg", "QuantizeLinear", "DequantizeLinear", "Relu", "Neg", "Add"]
    dequantize = node(model, dequantized_name("a"))
    assert readers_of(dequantize.outputs[0]) == [node(model, "one")]
    assert set(readers_of(value)) == {node(model, "a.q"), node(model, "two")}
    rounded = np.clip(np.rint(-x / 0.5), -128, 127) * np.float32(0.5)
    np.testing.assert_array_equal(run(model, x), np.maximum(rounded, 0) + x)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, ir.DataType.FLOAT8E4M3FN.numpy()])
def test_integers_have_the_type_of_the_zero_point(graph: Graphs, kind: Any) -> None:
    model = graph("(float[N,3] x) => (float[N,3] y) { [relu] y = Relu (x) }")
    image, relu = model.graph.inputs[0], node(model, "relu")
    scale = np.asarray(1, np.float32)
    insert_pair(model.graph, image, scale, np.zeros((), kind), name="x", uses=[(relu, 0)])
    assert [str(each.name) for each in model.graph] == ["x.q", "x.dq", "relu"]
    quantize, dequantize = node(model, "x.q"), node(model, "x.dq")
    assert quantize.outputs[0].dtype == ir.DataType.from_numpy(np.dtype(kind))
    assert dequantize.outputs[0].dtype == ir.DataType.FLOAT
    # One grid for both: the same two constants.
    assert quantize.inputs[1:] == dequantize.inputs[1:]
    assert list(quantize.outputs[0].shape or ())[1:] == [3]


def test_stored_integers_are_dequantized_per_channel(graph: Graphs, run: Run) -> None:
    model = graph(
        "(float[N,3] x) => (float[N,2] y) { [fc] y = Gemm <transB = 1> (x, w) }", w=normal(2, 3)
    )
    fc = node(model, "fc")
    integers = np.array([[1, -2, 3], [4, 5, -127]], np.int8)
    scale = np.float32([0.5, 0.25])
    fc.replace_input_with(1, insert_constant(model.graph, fc, "fc.weight", integers, scale))
    assert operators(model) == ["DequantizeLinear", "Gemm"]
    assert dequantizer(fc.inputs[1]) is node(model, dequantized_name("fc.weight"))
    x = normal(4, 3)
    weights = integers * scale[:, None]
    np.testing.assert_allclose(run(model, x), x @ weights.T, rtol=1e-5)
