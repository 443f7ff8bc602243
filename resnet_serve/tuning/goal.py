"""The goal: a limit of the p99 latency, and what is better within it.

    without a rate    images per second, at the number of requests in flight where that is most
    with a rate       the p99 latency while so many requests arrive per second, at random moments

`value` is both as one number for the optimizer: above zero where the limit is kept, and below it
the further away the longer requests took.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from resnet_serve.errors import UsageError
from resnet_serve.loadtest.offered import MAX_RATE_PER_S
from resnet_serve.passport.facts import Facts
from resnet_serve.tuning.trials import Point


@dataclass(frozen=True, kw_only=True)
class Goal(Facts):
    """At most `p99_ms` for 99 of 100 requests, with `rate_per_s` requests or as many as it can.

    `budget_points` is the top-1 accuracy in percentage points that a version may lose; None leaves
    that to the gate that each version passed.
    """

    p99_ms: float
    rate_per_s: float | None = None
    budget_points: float | None = None

    def __post_init__(self) -> None:
        if self.rate_per_s is not None and not 0 < self.rate_per_s <= MAX_RATE_PER_S:
            raise UsageError(
                f"cannot offer {self.rate_per_s:g} requests per second",
                remedy=f"Give --rate above 0, up to {MAX_RATE_PER_S:,.0f}.",
            )
        if self.budget_points is not None and not 0 <= self.budget_points <= 100:
            raise UsageError(
                f"{self.budget_points:g} is no number of percentage points",
                remedy="Give --budget-top1 between 0 and 100.",
            )

    def met(self, point: Point) -> bool:
        """Whether a point keeps the limit, and answered what was offered."""
        return point.p99_ms <= self.p99_ms and not point.fell_behind

    def best(self, points: Sequence[Point]) -> Point | None:
        """The best of the points that keep the limit; None where none does."""
        return max(filter(self.met, points), key=self._score, default=None)

    def value(self, points: Sequence[Point]) -> float:
        """The points of one configuration as one number; more is better."""
        best = self.best(points)
        if best is not None:
            return self._score(best)
        return -min((each.p99_ms / self.p99_ms for each in points), default=math.inf)

    def gain(self, point: Point, than: Point) -> float:
        """How many times better a point is than another one."""
        return self._score(point) / self._score(than)

    def _score(self, point: Point) -> float:
        if self.rate_per_s is None:
            return point.throughput_per_s
        return self.p99_ms / point.p99_ms

    def __str__(self) -> str:
        rate = "" if self.rate_per_s is None else f" at {self.rate_per_s:g} requests/s"
        return f"p99 ≤ {self.p99_ms:g} ms{rate}"
