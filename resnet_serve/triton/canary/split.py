"""A canary: a new version that gets a share of the requests until it is promoted or withdrawn.

    client ─ net ─► router (backend `canary`) ─┬─ 90 % ─► net.canary-3
                                               └─ 10 % ─► net.canary-4, compared with net.canary-3

The split is a parameter of the router's configuration. While it is there, Triton has three
numbers of `net`: 3 and 4 are these versions alone, and a higher number of its own, which Triton
takes for requests without a version, is the split.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from resnet_serve.errors import InputFileError, UsageError

BACKEND = "canary"
PARAMETER = "canary"
MARK = ".canary-"
# No version has as high a number; the split of version 4 is number 1,000,000,004.
FIRST_SPLIT = 1_000_000_000


@dataclass(frozen=True)
class Split:
    """Version `new` gets the `share` of the requests, above 0 and at most 1; `old` the others."""

    old: int
    new: int
    share: Fraction

    @property
    def number(self) -> int:
        """The number under which Triton serves the split."""
        return FIRST_SPLIT + self.new

    @property
    def percent(self) -> str:
        """The share as it is given: 10%, 0.5%."""
        return f"{float(100 * self.share):g}%"

    def to_text(self) -> str:
        """The parameter's value."""
        return json.dumps({"old": self.old, "new": self.new, "share": self.percent})

    @classmethod
    def from_text(cls, text: str) -> Split:
        """The inverse of `to_text`; raises `InputFileError`."""
        try:
            data = json.loads(text)
            return cls(int(data["old"]), int(data["new"]), share(data["share"]))
        except (ValueError, KeyError, TypeError, RecursionError, UsageError) as error:
            raise InputFileError(f"is not a canary's parameter: {text:.80}") from error


def share(text: str) -> Fraction:
    """`10%` as a fraction; raises `UsageError` for what is not more than 0 and at most 100%."""
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,4})?)\s?%", text.strip(), re.ASCII)
    value = Fraction(found[1]) / 100 if found else Fraction(0)
    if not 0 < value <= 1:
        raise UsageError(
            f"{text!r} is not a share of the requests", remedy="Give a percentage, as in 10%."
        )
    return value


def alone(model: str, version: int) -> str:
    """The name under which one version of a model is served alone while there is a canary."""
    return f"{model}{MARK}{version}"


def of(made: Any) -> Split | None:
    """The split in a model's configuration; None for a model without a canary."""
    if made.backend != BACKEND or PARAMETER not in made.parameters:
        return None
    return Split.from_text(made.parameters[PARAMETER].string_value)
