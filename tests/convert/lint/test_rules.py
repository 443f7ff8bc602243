"""Rules: every breach is a violation with its rule's number, and the refusal is one line."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir
import pytest
from quantized import Graphs

from resnet_convert.lint.rules import Breach, Rule, RuleSet, Violation, check, refuse
from resnet_serve.errors import ConversionError


def _relus(model: ir.Model) -> Iterator[Breach]:
    yield from ((str(node.name), "is a Relu") for node in model.graph if node.op_type == "Relu")


def _nothing(model: ir.Model) -> Iterator[Breach]:
    del model
    yield from ()


SET = RuleSet("linear", (Rule("L1", _nothing, "Do nothing."), Rule("L2", _relus, "Remove it.")))


def test_every_breach_of_every_rule_is_a_violation(graph: Graphs) -> None:
    text = "(float[N,3] x) => (float[N,3] y) { [first] a = Relu (x) [second] y = Relu (a) }"
    assert check(graph(text), SET) == (
        Violation("linear", "L2", "first", "is a Relu", "Remove it."),
        Violation("linear", "L2", "second", "is a Relu", "Remove it."),
    )
    assert check(graph("(float[N,3] x) => (float[N,3] y) { y = Neg (x) }"), SET) == ()


@pytest.mark.parametrize(
    ("count", "rule"),
    [
        (1, "(linear rule L2)"),
        (2, "(linear rule L2, and 1 more violation)"),
        (3, "(linear rule L2, and 2 more violations)"),
    ],
)
def test_a_refusal_names_the_first_violation_and_counts_the_others(count: int, rule: str) -> None:
    violations = [
        Violation("linear", "L2", f"n{i}", "is a Relu", "Remove it.") for i in range(count)
    ]
    with pytest.raises(ConversionError) as refusal:
        refuse(violations)
    assert str(refusal.value) == f"lint: n0: is a Relu {rule}. Remove it."


def test_a_graph_without_violations_is_not_refused() -> None:
    refuse(())
