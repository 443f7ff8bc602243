"""The comparison: whether the best configuration is better than the default, and not by chance.

Both are served at the same time and loaded in turn, so that a slower machine slows both. The
default is measured under the load where it was best and under the winner's, the winner where it
was best and under the load before that. What counts is the load that kept the limit in the median
of the rounds; each round gives one ratio, and the rounds its interval.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from resnet_serve.loadtest.offered import Offered
from resnet_serve.parity import latency
from resnet_serve.parity.latency import Ratio
from resnet_serve.tuning.climb import Bench
from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.trials import Point, Trial

ROUNDS = 5


@dataclass(frozen=True)
class Comparison:
    """The rounds of both; `gain` is how many times better the winner is than the default.

    `gain` is None where the default does not keep the limit, so that there is nothing to compare;
    it is of the `ratios`, one of each round.
    """

    default: Trial
    winner: Trial
    default_point: Point
    winner_point: Point
    gain: Ratio | None
    kept: bool
    rounds: int
    ratios: tuple[float, ...] = ()

    @property
    def better(self) -> bool:
        """Whether the winner keeps the limit, and is better than the default by more than noise."""
        if not self.kept:
            return False
        return self.gain is None or (self.gain.low > 1 and self.gain.not_stated is None)


def compare(
    bench: Bench,
    goal: Goal,
    default: Trial,
    winner: Trial,
    *,
    rounds: int = ROUNDS,
    told: Callable[[int], None] = lambda _: None,
) -> Comparison:
    """Load both in turn for `rounds` rounds; `told` gets the number of each round.

    Raises `ResnetServeError` where one of them cannot be served or loaded.
    """
    first = bench.serve(default.configuration)
    second = bench.serve(winner.configuration, keep=first)
    own, other = _loads(goal, default), _loads(goal, winner)
    arms = [*((first, each) for each in dict.fromkeys((own[0], other[0])))]
    arms += [(second, each) for each in other]
    rounds_of: dict[tuple[str, Offered], list[Point]] = {arm: [] for arm in arms}
    for number in range(1, rounds + 1):
        told(number)
        for model, offered in arms:
            point = bench.load(model, offered, lambda _: False)
            if point is not None:
                rounds_of[model, offered].append(point)
    before = _best(goal, [points for arm, points in rounds_of.items() if arm[0] == first])
    after = _best(goal, [points for arm, points in rounds_of.items() if arm[0] == second])
    ratios: list[float] = []
    if goal.met(_middle(before)):
        ratios = [goal.gain(new, old) for new, old in zip(after, before, strict=True)]
    return Comparison(
        default=default,
        winner=winner,
        default_point=_middle(before),
        winner_point=_middle(after),
        gain=latency.ratio_of(ratios) if ratios else None,
        kept=goal.met(_middle(after)),
        rounds=rounds,
        ratios=tuple(ratios),
    )


def _loads(goal: Goal, trial: Trial) -> list[Offered]:
    """The load under which a configuration was best, and the one before it.

    The best one was chosen for a p99 just within the limit, which may have been by chance.
    """
    kept = sorted(filter(goal.met, trial.points), key=lambda each: goal.value([each]))
    points = kept[-2:][::-1] or [min(trial.points, key=lambda each: each.p99_ms)]
    return [each.offered for each in points]


def _best(goal: Goal, arms: Sequence[Sequence[Point]]) -> Sequence[Point]:
    """The rounds of the load that keeps the limit and gives most; else those nearest to it."""
    return max(arms, key=lambda points: goal.value([_middle(points)]))


def _middle(points: Sequence[Point]) -> Point:
    """The medians of throughput and latency over the rounds."""
    return replace(
        points[0],
        requests=sum(each.requests for each in points) // len(points),
        throughput_per_s=statistics.median(each.throughput_per_s for each in points),
        p50_ms=statistics.median(each.p50_ms for each in points),
        p99_ms=statistics.median(each.p99_ms for each in points),
    )
