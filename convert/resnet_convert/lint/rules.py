"""Rules: what a lint rule is, how a graph is checked against a table of them, and the refusal.

A rule yields its violations as (layer in PyTorch's name, what is wrong there); the table adds its
number and the remedy.
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

# The layer, and what is wrong with it.
Breach = tuple[str, str]
# Which set of rules a number belongs to, by its first letter.
_RULE_SETS = {"T": "TensorRT", "C": "INT8"}


@dataclass(frozen=True)
class Violation:
    """One breach: the rule's number, the layer in PyTorch's name, what is wrong, what to do."""

    rule: str
    layer: str
    what: str
    remedy: str


@dataclass(frozen=True)
class Rule:
    """A numbered rule: how to find its breaches, and what to do about one."""

    number: str
    breaches: Callable[[ir.Model], Iterable[Breach]]
    remedy: str


def check(model: ir.Model, rules: Sequence[Rule]) -> tuple[Violation, ...]:
    """Every breach of every rule, rule by rule; empty for a graph that keeps them."""
    return tuple(
        Violation(rule.number, layer, what, rule.remedy)
        for rule in rules
        for layer, what in rule.breaches(model)
    )


def refuse(violations: Sequence[Violation]) -> None:
    """Raise `ConversionError` for the first violation, saying how many more there are."""
    if not violations:
        return
    first, more = violations[0], len(violations) - 1
    rest = f", and {more} more violation{'s' if more > 1 else ''}" if more else ""
    raise ConversionError(
        f"{first.what} ({_RULE_SETS[first.rule[0]]} rule {first.rule}{rest})",
        where=f"lint: {first.layer}",
        remedy=first.remedy,
    )
