"""Verdict: the checks of the gate (`gate.py`), and how each is shown.

Green is only what shows something. Outputs that are the same for every image are equal in both
networks whatever else the converted one computes; such a check passes and is not green.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal

from resnet_serve.parity.numerics import Numerics

UNTRAINED = "untrained"
SAME = "of every image are the same"
ANY_PASSES = "outputs that ignore the image would pass too"
SAME_DB = 100.0  # the SQNR of the mean output; FP32 rounds outputs that are the same to more
Outcome = Literal["good", "neutral", "bad"]


@dataclass(frozen=True)
class Check:
    """One comparison with its limit; `found` and `allowed` are texts.

    A check that is not `binding` is shown, but does not fail the conversion. `note` says why it
    does not bind, or that there are too few images to show what it requires.
    """

    name: str
    found: str
    allowed: str
    passed: bool
    binding: bool = True
    note: str = ""

    @property
    def outcome(self) -> tuple[Outcome, str]:
        """How it is shown: "good" is green, and only where the check shows what it says."""
        if not self.binding:
            return "neutral", f"– not binding ({self.note or UNTRAINED})"
        if not self.passed:
            return "bad", "✗ not met"
        if SAME in self.note or self.note == ANY_PASSES:
            return "neutral", f"– shows nothing: {self.note}"
        return ("neutral", f"✓ passed; {self.note}") if self.note else ("good", "✓ passed")


@dataclass(frozen=True)
class Verdict:
    """All checks of a conversion."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every binding check passed."""
        return all(check.passed for check in self.checks if check.binding)

    @property
    def unshown(self) -> tuple[Check, ...]:
        """The binding checks that passed, although the images do not show it."""
        noted = (each for each in self.checks if each.note and SAME not in each.note)
        return tuple(each for each in noted if each.binding and each.passed)

    @property
    def constant(self) -> str | None:
        """ "the logits of every image are the same", so that nothing is shown; else None."""
        return next((each.note for each in self.checks if SAME in each.note), None)

    @property
    def headline(self) -> str:
        """Whether it passed, in a few words; not plainly where that shows nothing."""
        if not self.passed:
            return "NOT MET"
        return f"passed, which shows nothing: {self.constant}" if self.constant else "passed"

    @property
    def failures(self) -> tuple[Check, ...]:
        """The binding checks that failed."""
        return tuple(check for check in self.checks if check.binding and not check.passed)

    def of_outputs(self, found: Numerics, of: str) -> Verdict:
        """The verdict with that said of its checks, where these outputs are all the same."""
        if (found.mean_db or 0.0) < SAME_DB:
            return self
        which = of if found.steadiest in (None, of) else f"{of} ({found.steadiest})"
        note = f"the {which} {SAME}"
        return Verdict(tuple(replace(c, note=note) if c.binding else c for c in self.checks))

    def to_json(self) -> dict[str, object]:
        """The verdict and every check, for a passport."""
        return {"passed": self.passed, "checks": [asdict(check) for check in self.checks]}
