"""A graph at a later opset: ReduceMean has its axes as an input, and the numbers are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from quantized import Graphs, node, normal

from resnet_convert.graph.initializers import array_of
from resnet_convert.graph.model_file import check, serialize
from resnet_convert.graph.opset import (
    AXES_ARE_AN_INPUT,
    FOR_BF16,
    FOR_FP16_SCALES,
    IR_VERSION,
    OPSET,
    raise_opset,
)

MEANS = """(float[N,3,4,4] x) => (float[N,2] y) {
    [conv] a = Conv (x, w)
    [rows] b = ReduceMean <axes = [2], keepdims = 1> (a)
    [mean] y = ReduceMean <axes = [2,3], keepdims = 0> (b)
}"""


@pytest.mark.parametrize("version", [(AXES_ARE_AN_INPUT, 8), FOR_FP16_SCALES, FOR_BF16])
def test_a_later_opset_computes_the_same(
    version: tuple[int, int], graph: Graphs, run: Callable[..., NDArray[Any]]
) -> None:
    model, x = graph(MEANS, w=normal(2, 3, 1, 1)), normal(5, 3, 4, 4)
    assert (model.graph.opset_imports[""], model.ir_version) == (OPSET, IR_VERSION)
    expected = run(model, x)
    raise_opset(model, *version)
    assert (model.graph.opset_imports[""], model.ir_version) == version
    check(serialize(model), where="raised")
    np.testing.assert_array_equal(run(model, x), expected)


def test_the_axes_of_a_mean_become_an_input(graph: Graphs) -> None:
    model = graph(MEANS, w=normal(2, 3, 1, 1))
    raise_opset(model, *FOR_FP16_SCALES)
    mean = node(model, "mean")
    axes = mean.inputs[1]
    assert axes is not None
    assert (axes.name, axes.dtype, array_of(axes).tolist()) == (
        "mean.axes",
        ir.DataType.INT64,
        [2, 3],
    )
    assert "axes" not in mean.attributes
    assert mean.attributes.get_int("keepdims") == 0
    assert len(node(model, "conv").inputs) == 2
