"""The last comparison: what counts as better, and what is noise."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import pytest
from tunable import FormulaBench, point, trial

from resnet_serve.loadtest.offered import Offered
from resnet_serve.tuning.climb import Stop
from resnet_serve.tuning.configuration import Configuration
from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.outcome.comparison import Comparison, compare
from resnet_serve.tuning.trials import Point

Answer = Callable[[Configuration, Offered, int], tuple[float, float]]


class ScriptedBench(FormulaBench):
    """Answers each load with throughput and p99 by configuration, load and how often it was."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(lambda _: 1)
        self._answer = answer
        self._counts: dict[tuple[str, Offered], Iterable[int]] = {}

    def load(self, model: str, offered: Offered, stop: Stop) -> Point | None:
        self.loads.append((model, offered))
        counted = self._counts.setdefault((model, offered), itertools.count())
        throughput, p99_ms = self._answer(self._served[model], offered, next(iter(counted)))
        return point(throughput, p99_ms, offered.concurrency, rate_per_s=offered.rate_per_s)


DEFAULT = trial(point(60, 20, 1), point(100, 40, 4), number=1)
WINNER = trial(point(90, 15, 2), point(150, 48, 8), number=2, instances=2)


def held(answer: Answer, goal: Goal | None = None) -> tuple[Comparison, ScriptedBench]:
    bench = ScriptedBench(answer)
    return compare(bench, goal or Goal(p99_ms=50), DEFAULT, WINNER, rounds=5), bench


def noisy(round_: int) -> float:
    return (1.0, 1.01, 0.99, 1.02, 0.98)[round_ % 5]


def test_a_better_one() -> None:
    def answer(it: Configuration, offered: Offered, round_: int) -> tuple[float, float]:
        return (150 if it.instances == 2 else 100) * noisy(round_), 40

    comparison, bench = held(answer)
    assert comparison.better
    assert comparison.gain is not None
    assert comparison.gain.median == pytest.approx(1.5)
    assert comparison.ratios == pytest.approx([1.5] * 5)
    # In turn: both under the winner's load, the default also under its own, and the winner under
    # the one before.
    one_round = [str(offered) for _, offered in bench.loads[:4]]
    assert one_round == ["concurrency 4", "concurrency 8", "concurrency 8", "concurrency 2"]
    assert bench.loads[:4] * 5 == bench.loads


def test_noise_is_no_gain() -> None:
    comparison, _ = held(lambda it, offered, n: (100 * noisy(n + 2 * it.instances), 40))
    assert comparison.kept
    assert not comparison.better


def test_the_default_is_taken_at_the_load_where_it_is_best() -> None:
    """The search may have missed that the default gains as much under the winner's load."""

    def answer(it: Configuration, offered: Offered, _: int) -> tuple[float, float]:
        return (150 if offered.concurrency == 8 else 90), 40

    comparison, _ = held(answer)
    assert comparison.default_point.throughput_per_s == 150
    assert not comparison.better


def test_a_p99_over_the_limit_does_not_win_but_the_load_before_may() -> None:
    def answer(it: Configuration, offered: Offered, _: int) -> tuple[float, float]:
        if it.instances == 2:
            return (200, 60) if offered.concurrency == 8 else (130, 30)
        return 100, 40

    comparison, _ = held(answer)
    assert comparison.better
    assert comparison.winner_point.throughput_per_s == 130
    never, _ = held(lambda it, *_: (300, 60) if it.instances == 2 else (100, 40))
    assert not never.better
    assert not never.kept


def test_a_default_over_the_limit_needs_no_ratio() -> None:
    comparison, _ = held(lambda it, *_: (100, 40) if it.instances == 2 else (300, 70))
    assert comparison.gain is None
    assert comparison.better


def test_rounds_that_differ_too_much_state_nothing() -> None:
    def answer(it: Configuration, _: Offered, round_: int) -> tuple[float, float]:
        return (100 * (2 + 3 * (round_ % 2)) if it.instances == 2 else 100), 40

    comparison, _ = held(answer)
    assert comparison.gain is not None
    assert comparison.gain.low > 1
    assert not comparison.better


def test_with_a_rate_the_latency_is_compared() -> None:
    goal = Goal(p99_ms=50, rate_per_s=40)
    default = trial(point(40, 40, None, rate_per_s=40.0, requests=120), number=1)
    winner = trial(point(40, 20, None, rate_per_s=40.0, requests=120), number=2, instances=2)

    class AtRate(ScriptedBench):
        """Every request is answered."""

        def load(self, model: str, offered: Offered, stop: Stop) -> Point | None:
            p99_ms = 20 if self._served[model].instances == 2 else 40
            return point(40, p99_ms, None, rate_per_s=40.0, requests=120)

    comparison = compare(AtRate(lambda *_: (0, 0)), goal, default, winner)
    assert comparison.gain is not None
    assert comparison.gain.median == 2
    assert comparison.better
