"""The gate: nothing is deployed that was not shown equal to the reference, within a stated budget.

A budget belongs to a precision (`precisions.py`). The verdict lists every check with what was found and what was
allowed, so that a refusal says by how much and on which image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from resnet_serve.parity.accuracy import Decisions
from resnet_serve.parity.numerics import Numerics


@dataclass(frozen=True)
class Budget:
    """What a precision may cost: smallest cosine of any image, SQNR, agreement, points of top-1.

    The cosine sees one bad image among many good ones, the SQNR a scale that the cosine ignores.
    """

    cosine: float
    sqnr_db: float
    agreement: float
    top1_points: float


@dataclass(frozen=True)
class Check:
    """One comparison with its limit; `found` and `allowed` are texts for people."""

    name: str
    found: str
    allowed: str
    passed: bool
    binding: bool = True


@dataclass(frozen=True)
class Verdict:
    """All checks of a conversion."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks if check.binding)

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.binding and not check.passed)

    def to_json(self) -> dict[str, object]:
        return {"passed": self.passed, "checks": [asdict(check) for check in self.checks]}


def judge(
    budget: Budget,
    numerics: Mapping[int, Numerics],
    decisions: Decisions | None,
    *,
    trained: bool,
    of: str = "logits",
) -> Verdict:
    """Hold the measurements against the budget.

    `numerics` is by batch size. An untrained network decides by chance, so that its decisions are
    shown but do not bind; what is no classifier has none. `of` says what was compared.
    """
    checks = []
    for batch_size, result in numerics.items():
        checks += [
            Check(
                name=f"cosine of the {of}, batch {batch_size}",
                found=f"{result.cosine:.6f}",
                allowed=f"≥ {budget.cosine}",
                passed=result.cosine >= budget.cosine,
            ),
            Check(
                name=f"SQNR of the {of}, batch {batch_size}",
                found=f"{result.sqnr_db:.1f} dB"
                + ("" if result.output == of else f" ({result.output})"),
                allowed=f"≥ {budget.sqnr_db} dB",
                passed=result.sqnr_db >= budget.sqnr_db,
            ),
        ]
    if decisions is None:
        return Verdict(tuple(checks))
    checks.append(
        Check(
            name="top-1 agreement",
            found=f"{100 * decisions.top1_agreement:.2f} %",
            allowed=f"≥ {100 * budget.agreement:.1f} %",
            passed=decisions.top1_agreement >= budget.agreement,
            binding=trained,
        )
    )
    if decisions.difference_points is not None:
        lost = 0.0 - decisions.difference_points
        checks.append(
            Check(
                name="top-1 lost",
                found=f"{lost:+.2f} points",
                allowed=f"≤ {budget.top1_points} points",
                passed=lost <= budget.top1_points + 1e-9,
                binding=trained,
            )
        )
    return Verdict(tuple(checks))
