"""Rules: what a lint rule is, how a graph is checked against a set of them, and the refusal.

rule(model) ─► breaches (layer, what is wrong) ─► violations, with the rule's number and remedy
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_serve.errors import ConversionError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

# The layer, in PyTorch's name, and what is wrong with it.
Breach = tuple[str, str]


@dataclass(frozen=True)
class Rule:
    """A numbered rule: how its breaches are found, and what to do about one."""

    number: str
    breaches: Callable[[ir.Model], Iterable[Breach]]
    remedy: str


@dataclass(frozen=True)
class RuleSet:
    """All the rules for one kind of graph, and the name that a refusal calls them by."""

    name: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Violation:
    """One breach of a rule: set and number of the rule, the layer, what is wrong, what to do."""

    rule_set: str
    rule: str
    layer: str
    what: str
    remedy: str


def check(model: ir.Model, rule_set: RuleSet) -> tuple[Violation, ...]:
    """Every breach of every rule, rule by rule; empty for a graph that keeps them all."""
    return tuple(
        Violation(rule_set.name, rule.number, layer, what, rule.remedy)
        for rule in rule_set.rules
        for layer, what in rule.breaches(model)
    )


def refuse(violations: Sequence[Violation]) -> None:
    """Raise `ConversionError` for the first violation, with the number of the others."""
    if not violations:
        return
    first, more = violations[0], len(violations) - 1
    rest = f", and {more} more violation{'s' if more > 1 else ''}" if more else ""
    raise ConversionError(
        f"{first.what} ({first.rule_set} rule {first.rule}{rest})",
        where=f"lint: {first.layer}",
        remedy=first.remedy,
    )
