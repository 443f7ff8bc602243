"""Outputs that TensorRT cannot make, seen by our rule and by TensorRT-RTX's real library."""

from __future__ import annotations

import onnx_ir as ir
import pytest
import rtx
from quantized import Graphs, symmetric_residual

from resnet_convert.graph.half import halve
from resnet_convert.lint.rules import check
from resnet_convert.lint.tensorrt import RULES
from resnet_convert.tensorrt.judging.verdict import Question


@pytest.fixture
def block(graph: Graphs) -> ir.Model:
    model = symmetric_residual(graph)
    halve(model)
    return model


def found(model: ir.Model) -> list[tuple[str, str, str]]:
    return [(each.rule, each.layer, each.what) for each in check(model, RULES)]


def asked(model: ir.Model) -> tuple[str, str]:
    data = bytes(ir.to_proto(model).SerializeToString())
    verdict = rtx.judge().ask(Question(data, ("8.9",)))
    return verdict.outcome, " ".join(verdict.errors)


def test_one_output_is_enough(block: ir.Model) -> None:
    assert found(block) == []
    assert asked(block) == ("built", "")


def test_a_tensor_that_is_listed_twice(block: ir.Model) -> None:
    """The library builds an engine that lacks an output, and only logs it."""
    (output,) = block.graph.outputs
    block.graph.outputs.append(output)
    assert found(block) == [("T16", str(output.name), "is listed as an output 2 times")]
    outcome, errors = asked(block)
    assert outcome == "built"
    assert "already set as network-level output" in errors


def test_a_graph_without_outputs(block: ir.Model) -> None:
    block.graph.outputs.clear()
    assert found(block) == [("T16", "graph", "has no output")]
    outcome, errors = asked(block)
    assert outcome == "the builder refuses"
    assert "at least one output" in errors
