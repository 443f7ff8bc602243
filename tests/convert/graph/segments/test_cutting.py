"""Cutting: only where no value changes, and each part computes its tensors and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from chains import chain
from numpy.typing import NDArray

from resnet_convert.graph.model_file import serialize, serialize_with_outputs
from resnet_convert.graph.segments import cutting
from resnet_convert.graph.segments.cutting import cut, leading_to, stretches
from resnet_convert.graph.segments.running import loaded, run
from resnet_serve.runtimes import onnxruntime as onnxruntime_runtime
from resnet_serve.weights import Weights


def test_it_is_cut_where_all_that_is_carried_is_shown(
    graph: Callable[..., ir.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "TENSORS", 1)
    found = cut(chain(graph, 3), {"r0", "x1", "r1", "r2", "x3"})
    # x0 and x2 are not shown: nothing may be cut while one of them is still to be read.
    assert [(segment.given, segment.shown) for segment in found] == [
        (("image",), ("r0", "x1")),
        (("x1",), ("r1",)),
        (("x1", "r1"), ("r2", "x3")),
    ]


def test_an_operator_and_its_relu_stay_together(
    graph: Callable[..., ir.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "TENSORS", 1)
    found = cut(chain(graph, 2), {"x0", "c0", "r0", "x1", "c1", "r1", "x2"})
    assert [segment.shown for segment in found] == [
        ("x0",), ("c0", "r0"), ("x1",), ("c1", "r1"), ("x2",),
    ]  # fmt: skip


def test_a_part_computes_its_tensors_and_nothing_else(graph: Callable[..., ir.Model]) -> None:
    model = chain(graph, 3)
    first, second = leading_to(model, [["r0"], ["c1", "x1"]])
    assert [node.name for node in first.model.graph] == ["start", "conv0", "relu0"]
    assert second.given == ("image",)
    batch = np.ones((1, 2, 4, 4), np.float32)
    with (
        loaded(second, threads=1) as part,
        onnxruntime_runtime.load(serialize_with_outputs(model, ["c1"]), threads=1) as whole,
    ):
        found = run(part, {"image": batch})
        np.testing.assert_array_equal(found["c1"], whole.run_all(batch)["c1"])


def test_the_stretches_of_a_graph_are_its_operators_and_compute_its_outputs(
    folded_digits: ir.Model, digits: Weights, digits_pixels: NDArray[np.uint8]
) -> None:
    batch: NDArray[Any] = digits.preprocessing.normalize(digits_pixels)
    found = list(stretches(folded_digits, largest=2**20))
    assert len(found) > 9, "at least one for each of the nine blocks"
    own = [name for stretch in found for name in stretch.nodes]
    assert sorted(own) == sorted(str(node.name) for node in folded_digits.graph)
    assert [stretch.lead is None for stretch in found] == [False] * (len(found) - 1) + [True]
    with onnxruntime_runtime.load(serialize(folded_digits), threads=1) as whole:
        logits = whole.run(batch)
    for stretch in found:
        with loaded(stretch.rest, threads=1) as rest:
            # The runtime adds a shortcut in the convolution, or in the layout of the input.
            np.testing.assert_allclose(rest.run(batch), logits, atol=1e-5)
        if stretch.lead is not None:
            with loaded(stretch.lead, threads=1) as lead:
                batch = lead.run(batch)


def test_a_large_tensor_and_one_before_a_relu_are_not_kept(
    graph: Callable[..., ir.Model],
) -> None:
    model = chain(graph, 2)  # tensors of 32 values
    assert [sorted(each.nodes) for each in stretches(model, largest=31)] == [
        sorted(str(node.name) for node in model.graph)
    ]
    assert [sorted(each.nodes) for each in stretches(model, largest=32)] == [
        ["start"],
        ["add0", "conv0", "relu0"],
        ["add1", "conv1", "relu1"],
    ]


def test_behind_an_output_nothing_is_divided(graph: Callable[..., ir.Model]) -> None:
    model = graph(
        """(float[N,2] image) => (float[N,2] b, float[N,2] d) {
            [a] a = Neg (image)
            [b] b = Abs (a)
            [c] c = Exp (b)
            [d] d = Neg (c)
        }"""
    )
    for stretch in stretches(model, largest=2):
        assert stretch.rest.shown == ("b", "d")


def test_an_operator_whose_result_nobody_reads_is_no_stretch(
    graph: Callable[..., ir.Model],
) -> None:
    model = graph(
        """(float[N,2] image) => (float[N,2] b) {
            [unread] u = Exp (image)
            [a] a = Neg (image)
            [b] b = Abs (a)
        }"""
    )
    assert [sorted(each.nodes) for each in stretches(model, largest=2)] == [["a", "unread"], ["b"]]
