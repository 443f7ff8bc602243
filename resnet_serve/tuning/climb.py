"""One configuration, load after load, until the rest is known.

    1, 2, 4, … requests in flight    until
        the p99 is over the limit    a first window whose mean is over it shows that too
        the instances are busy and their batches full: more requests only wait
        two loads gave no more       than those before them
        it is far behind             the best configuration so far, under the same two loads: pruned

With a rate there is one load, whose first window may show that it is too slow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from resnet_serve.errors import HostError, ResnetServeError
from resnet_serve.loadtest.offered import Offered
from resnet_serve.loadtest.perf_process import Window
from resnet_serve.tuning.configuration import Configuration
from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.trials import Point, State, Trial

LADDER = (1, 2, 4, 8, 16, 32, 64)
_BUSY = 0.85  # of a time that includes the start and the end of perf_analyzer
_FULL = 0.95  # of the largest batch
_GROWTH = 1.02
_FAR_BEHIND = 0.75
_BATCHES_FORM = 4  # in flight; below it a configuration for batches may look slow
Stop = Callable[[Window], bool]


class BenchEndedError(HostError):
    """Nothing can be served any more, whatever the configuration."""


class Bench(Protocol):
    """What serves configurations and puts loads on them."""

    def serve(self, configuration: Configuration, *, keep: str = "") -> str:
        """Serve it, and return the name of the model; the model `keep` stays too.

        Raises `ResnetServeError` where it fails, `BenchEndedError` where any other one would.
        """

    def load(self, model: str, offered: Offered, stop: Stop) -> Point | None:
        """Put a load on a served model; None where `stop` ended it after a window."""


@dataclass
class Climb:
    """The points of one configuration while they are measured; `rival` is the best so far."""

    bench: Bench
    goal: Goal
    rival: Trial | None = None
    points: list[Point] = field(default_factory=list)

    def trial(self, number: int, configuration: Configuration) -> Trial:
        """Measure it. A configuration that cannot be served is a FAILED trial.

        Raises `BenchEndedError`.
        """
        try:
            model = self.bench.serve(configuration)
            by_rate = self.goal.rate_per_s is not None
            state, reason = self._at_the_rate(model) if by_rate else self._up(model, configuration)
        except BenchEndedError:
            raise
        except ResnetServeError as error:
            state, reason = State.FAILED, str(error)
        return Trial(
            number=number,
            configuration=configuration,
            points=tuple(self.points),
            state=state,
            reason=reason,
        )

    def _up(self, model: str, configuration: Configuration) -> tuple[State, str]:
        for concurrency in LADDER:
            # The first load is measured whole: it is the least latency there is.
            stop = self._over if self.points else _never
            point = self.bench.load(model, Offered(concurrency), stop)
            if point is None:
                return State.MEASURED, f"{concurrency} in flight took longer on average"
            self.points.append(point)
            if point.p99_ms > self.goal.p99_ms:
                return State.MEASURED, f"p99 over the limit with {concurrency} in flight"
            full = point.mean_batch >= _FULL * configuration.max_batch_size
            if full and point.busy >= _BUSY and concurrency > configuration.instances:
                return State.MEASURED, "instances busy, batches full"
            if self._flat():
                return State.MEASURED, "no more throughput"
            if self._far_behind():
                return State.PRUNED, "far behind the best under the same loads"
        return State.MEASURED, f"{LADDER[-1]} in flight"

    def _at_the_rate(self, model: str) -> tuple[State, str]:
        best = None if self.rival is None else self.goal.best(self.rival.points)
        limit_ms = self.goal.p99_ms if best is None else best.p99_ms

        def stop(window: Window) -> bool:
            return best is not None and window.mean_ms > limit_ms

        point = self.bench.load(model, Offered(rate_per_s=self.goal.rate_per_s), stop)
        if point is None:
            return State.PRUNED, "its mean latency is over the p99 of the best"
        self.points.append(point)
        return State.MEASURED, "did not keep up" if point.fell_behind else "the rate"

    def _over(self, window: Window) -> bool:
        return window.mean_ms > self.goal.p99_ms

    def _flat(self) -> bool:
        """Whether the last two loads gave no more than those before them."""
        if len(self.points) < 3:
            return False
        before = max(each.throughput_per_s for each in self.points[:-2])
        return all(each.throughput_per_s < _GROWTH * before for each in self.points[-2:])

    def _far_behind(self) -> bool:
        if self.rival is None:
            return False
        rival = {each.concurrency: each for each in self.rival.points if self.goal.met(each)}
        both = [
            (each, rival[each.concurrency])
            for each in self.points[-2:]
            if each.concurrency in rival and (each.concurrency or 0) >= _BATCHES_FORM
        ]
        return len(both) == 2 and all(
            own.throughput_per_s < _FAR_BEHIND * best.throughput_per_s for own, best in both
        )


def _never(_: Window) -> bool:
    return False
