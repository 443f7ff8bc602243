"""Demand: what is asked of a fleet, and what keeps it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnet_serve.errors import UsageError
from resnet_serve.loadtest.offered import MAX_RATE_PER_S
from resnet_serve.planning.arrivals import Bursts
from resnet_serve.planning.simulation import Outcome

MAX_FLEET_RATE_PER_S = 1000 * MAX_RATE_PER_S
DEFAULT_REJECTED = 0.001
# Kubernetes asks our readiness probe every 10 s and drops a pod after the second failure.
DEFAULT_NOTICE_S = 20.0


@dataclass(frozen=True)
class Demand:
    """So many requests a second of one image each, and the limits that they are to keep.

    99 of 100 take at most `p99_ms`, and at most the share `rejected` is rejected. A replica that
    fails gets requests for `notice_s` more.
    """

    rate_per_s: float
    p99_ms: float
    rejected: float = DEFAULT_REJECTED
    bursts: Bursts | None = None
    notice_s: float = DEFAULT_NOTICE_S

    def __post_init__(self) -> None:
        if not 0 < self.rate_per_s <= MAX_FLEET_RATE_PER_S:
            raise UsageError(
                f"cannot plan for {self.rate_per_s:g} requests per second",
                remedy=f"Give --rate above 0, up to {MAX_FLEET_RATE_PER_S:,.0f}.",
            )
        if not 0 <= self.rejected < 1:
            raise UsageError(
                f"{self.rejected:g} is no share of the requests",
                remedy="Give --max-rejected from 0 to below 1, as 0.001.",
            )
        if not 0 <= self.notice_s < math.inf:
            raise UsageError(
                f"a failure cannot be noticed after {self.notice_s:g} s",
                remedy="Give --notice in seconds, as 20.",
            )

    def met(self, outcome: Outcome) -> bool:
        """Whether a replica keeps the limits: with the upper end of both intervals."""
        return (
            not outcome.grows
            and outcome.p99_ms.high <= self.p99_ms
            and outcome.rejected.value <= self.rejected
        )

    def __str__(self) -> str:
        bursts = "" if self.bursts is None else f" in {self.bursts}"
        return f"{self.rate_per_s:g} requests/s{bursts} with p99 ≤ {self.p99_ms:g} ms"
