"""The gate: only what equals the reference within a stated budget is deployed.

A budget belongs to a precision (`precisions.py`). The verdict lists every check with the value
found and the value allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from resnet_serve.parity.accuracy import Decisions
from resnet_serve.parity.numerics import Numerics


@dataclass(frozen=True)
class Budget:
    """What a precision may cost, in the limits of the checks.

    `cosine` is the smallest of any image, `agreement` a fraction in [0, 1], `top1_points` the loss
    of accuracy in percentage points. The cosine detects one bad image among many good ones, the
    SQNR a change of scale, which the cosine does not detect.
    """

    cosine: float
    sqnr_db: float
    agreement: float
    top1_points: float


@dataclass(frozen=True)
class Check:
    """One comparison with its limit; `found` and `allowed` are texts.

    A check that is not `binding` is shown, but does not fail the conversion.
    """

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
        """Whether every binding check passed."""
        return all(check.passed for check in self.checks if check.binding)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The binding checks that failed."""
        return tuple(check for check in self.checks if check.binding and not check.passed)

    def to_json(self) -> dict[str, object]:
        """The verdict and every check, for a passport."""
        return {"passed": self.passed, "checks": [asdict(check) for check in self.checks]}


def judge(
    budget: Budget,
    numerics: Mapping[int, Numerics],
    decisions: Decisions | None,
    *,
    trained: bool,
    of: str = "logits",
) -> Verdict:
    """Check the measurements against the budget.

    `numerics` is by batch size. The decisions of an untrained network are random, so their checks
    are not binding; a network without a classifier has no decisions. `of` names the compared
    outputs.
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
