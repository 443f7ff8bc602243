"""What was measured of a configuration: its points, and why there are no more of them.

Written to Optuna's journal as JSON and read again by `--resume`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from resnet_serve.loadtest.executions import Executed
from resnet_serve.loadtest.offered import Offered
from resnet_serve.passport.facts import Facts
from resnet_serve.tuning.configuration import Configuration


@dataclass(frozen=True, kw_only=True)
class Point(Facts):
    """One load on one configuration, as perf_analyzer and the server's statistics have it.

    Of `concurrency` and `rate_per_s` one is None. `mean_batch` and `largest_batch` are of the
    batches that the server ran, `busy` is the share of the time in which its instances ran them;
    `executed` has their times. `pressed` is the share of the time in which tasks of the host waited
    for a CPU, those of the load among them; None where it is not counted.
    """

    concurrency: int | None = None
    rate_per_s: float | None = None
    requests: int
    throughput_per_s: float
    p50_ms: float
    p99_ms: float
    mean_batch: float
    largest_batch: int
    busy: float
    executed: Executed | None = None
    pressed: float | None = None

    @property
    def offered(self) -> Offered:
        """The load."""
        return Offered(self.concurrency, self.rate_per_s)

    @property
    def fell_behind(self) -> bool:
        """Whether fewer requests ended than arrived, and not by chance: so their queue grew."""
        if self.rate_per_s is None:
            return False
        expected = self.rate_per_s * self.requests / self.throughput_per_s
        return self.requests < expected - 3 * math.sqrt(expected)


class State(StrEnum):
    """How the measurement of a configuration ended."""

    MEASURED = "measured"
    PRUNED = "pruned"
    EQUAL = "equal"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Trial(Facts):
    """One configuration: `reason` says why its points end where they do.

    An EQUAL one was not measured: it does what trial `equal_to` did.
    """

    number: int
    configuration: Configuration
    points: tuple[Point, ...]
    state: State
    reason: str
    equal_to: int | None = None

    @property
    def largest_batch(self) -> int:
        """The largest batch that the server ran."""
        return max((each.largest_batch for each in self.points), default=0)
