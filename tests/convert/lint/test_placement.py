"""TensorRT's rules on where the pairs stand: each broken alone."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from misplaced_pairs import MISPLACED, read
from quantized import Graphs, node, symmetric_residual

from resnet_convert.graph.half import halve
from resnet_convert.graph.initializers import initializer
from resnet_convert.lint.rules import check
from resnet_convert.lint.tensorrt import RULES


@pytest.fixture
def blocks(graph: Graphs) -> ir.Model:
    """An identity and a projection block, symmetric INT8 over FP16."""
    model = symmetric_residual(graph)
    halve(model)
    assert check(model, RULES) == ()
    return model


@pytest.mark.parametrize("name", MISPLACED)
def test_a_breach_is_found_by_its_rule_alone(blocks: ir.Model, name: str) -> None:
    rule, layer, change = MISPLACED[name]
    change(blocks)
    found = check(blocks, RULES)
    assert {finding.rule for finding in found} == {rule}
    assert layer in {finding.layer for finding in found}


def test_a_pair_of_equal_scales_in_two_tensors_is_a_pair(blocks: ir.Model) -> None:
    scale = node(blocks, "b.q").inputs[1].const_value.numpy()
    node(blocks, "b.dq").replace_input_with(1, initializer(blocks.graph, "again", scale))
    assert check(blocks, RULES) == ()


def test_a_layer_may_stay_floating(blocks: ir.Model) -> None:
    read("fc", 0, "flatten")(blocks)
    node(blocks, "fc").replace_input_with(
        1, initializer(blocks.graph, "again", np.ones((5, 4), np.float16))
    )
    assert {finding.rule for finding in check(blocks, RULES)} <= {"T13"}, (
        "only its old pair is left over"
    )
