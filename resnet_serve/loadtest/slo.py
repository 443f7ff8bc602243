"""Service-level objective: a limit of the 99th percentile of the latency, and what keeps it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from resnet_serve.errors import UsageError
from resnet_serve.loadtest.perf_report import Level

_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_LONGEST_MS = 3_600_000.0


@dataclass(frozen=True)
class Slo:
    """At most `p99_ms` milliseconds for 99 of 100 requests."""

    p99_ms: float

    @classmethod
    def parse(cls, text: str) -> Slo:
        """The limit of a text as `50ms` or `0.05s`; raises `UsageError` for another one."""
        found = re.fullmatch(r"(-?[0-9]*\.?[0-9]+) ?(us|ms|s)", text.strip())
        if found is None:
            raise UsageError(
                f"cannot read the time {text!r}", remedy="Write it with its unit: 50ms or 0.05s."
            )
        limit_ms = float(found[1]) * _MS[found[2]]
        if not 0 < limit_ms <= _LONGEST_MS:
            raise UsageError(
                f"a limit of {text.strip()} is not possible",
                remedy="Give a time above 0 and up to an hour, as 50ms.",
            )
        return cls(limit_ms)

    def met(self, level: Level) -> bool:
        """Whether a level kept it."""
        return level.p99_ms <= self.p99_ms

    def best(self, levels: Sequence[Level]) -> Level | None:
        """The level with the highest throughput among those that kept it."""
        kept = [level for level in levels if self.met(level)]
        return max(kept, key=lambda level: level.throughput_per_s, default=None)

    def sentence(self, levels: Sequence[Level]) -> str:
        """What the levels showed of it."""
        best = self.best(levels)
        if best is not None:
            return (
                f"within p99 ≤ {self}: {best.throughput_per_s:.1f} images/s at {best.offered} "
                f"(p99 {best.p99_ms:.1f} ms)"
            )
        least = min(levels, key=lambda level: level.p99_ms)
        return f"p99 ≤ {self} was not kept: the lowest was {least.p99_ms:.1f} ms at {least.offered}"

    def __str__(self) -> str:
        return f"{self.p99_ms:g} ms"
