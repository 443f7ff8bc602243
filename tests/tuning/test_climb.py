"""One configuration, load after load: where it ends, and why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tunable import FormulaBench, configuration

from resnet_serve.tuning.climb import LADDER, BenchEndedError, Climb
from resnet_serve.tuning.configuration import Configuration
from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.trials import State, Trial


def climb(
    image_ms: float | Callable[[Configuration], float] = 10.0,
    *,
    goal: Goal | None = None,
    rival: Trial | None = None,
    fixed_ms: float = 2.0,
    **changes: object,
) -> tuple[Trial, FormulaBench]:
    of = image_ms if callable(image_ms) else lambda _: image_ms
    bench = FormulaBench(of, fixed_ms=fixed_ms)
    made = Climb(bench, goal or Goal(p99_ms=500), rival).trial(1, configuration(**changes))
    return made, bench


def in_flight(trial: Trial) -> list[int | None]:
    return [each.concurrency for each in trial.points]


def test_it_ends_when_the_instances_are_busy_and_their_batches_full() -> None:
    trial, bench = climb(max_batch_size=4)
    assert (trial.state, trial.reason) == (State.MEASURED, "instances busy, batches full")
    assert in_flight(trial) == [1, 2, 4]
    assert len(bench.calls) == 1
    more, _ = climb(max_batch_size=16)
    assert in_flight(more) == [1, 2, 4, 8, 16]


def test_it_ends_at_the_limit() -> None:
    # 12 ms alone, 2 + 2·10 for two, and so on; × 1.3 in the tail.
    trial, bench = climb(goal=Goal(p99_ms=50), max_batch_size=16)
    assert trial.reason == "4 in flight took longer on average" or "over the limit" in trial.reason
    assert in_flight(trial)[:2] == [1, 2]
    assert all(each.p99_ms <= 50 for each in trial.points[:2])
    assert len(bench.loads) <= 3


def test_the_first_load_is_measured_whole_so_that_the_least_latency_is_known() -> None:
    trial, bench = climb(goal=Goal(p99_ms=1))
    assert [each.p99_ms for each in trial.points] == [pytest.approx(1.3 * 12)]
    assert len(bench.loads) == 1
    assert "over the limit with 1 in flight" in trial.reason


def test_it_ends_where_two_loads_gave_no_more() -> None:
    class Flat(FormulaBench):
        """Its statistics never show a full batch or a busy instance."""

        def load(self, *args: object):  # type: ignore[no-untyped-def, override]
            found = super().load(*args)  # type: ignore[arg-type]
            assert found is not None
            from dataclasses import replace

            return replace(found, busy=0.1)

    trial = Climb(Flat(lambda _: 10), Goal(p99_ms=5000)).trial(1, configuration(max_batch_size=2))
    assert trial.reason == "no more throughput"
    assert in_flight(trial) == [1, 2, 4, 8]


def test_it_is_pruned_far_behind_the_best_under_the_same_loads() -> None:
    quick, _ = climb(5, max_batch_size=16)
    slow, bench = climb(10, rival=quick, max_batch_size=16)
    assert slow.state is State.PRUNED
    assert in_flight(slow) == [1, 2, 4, 8]
    near, _ = climb(5.5, rival=quick, max_batch_size=16)
    assert near.state is State.MEASURED
    assert len(bench.loads) == 4


def test_a_rate_is_one_load() -> None:
    goal = Goal(p99_ms=50, rate_per_s=40)
    trial, bench = climb(goal=goal)
    assert [each.rate_per_s for each in trial.points] == [40]
    assert len(bench.loads) == 1
    slower, _ = climb(20, goal=goal, rival=trial)
    assert (slower.state, slower.points) == (State.PRUNED, ())
    behind, _ = climb(200, goal=goal, max_batch_size=1)
    assert behind.points[0].fell_behind
    assert behind.reason == "did not keep up"


def test_what_cannot_be_served_is_a_failed_trial() -> None:
    bench = FormulaBench(lambda _: 10, fails=lambda _: True)
    trial = Climb(bench, Goal(p99_ms=50)).trial(7, configuration())
    assert (trial.number, trial.state) == (7, State.FAILED)
    assert "it cannot be loaded" in trial.reason


def test_where_nothing_can_be_served_any_more_the_trial_has_not_failed() -> None:
    class Ended(FormulaBench):
        def serve(self, *_: object, **__: object) -> str:
            raise BenchEndedError("it has ended")

    with pytest.raises(BenchEndedError):
        Climb(Ended(lambda _: 5), Goal(p99_ms=50)).trial(1, configuration())


def test_it_climbs_no_further_than_the_ladder() -> None:
    trial, _ = climb(0.001, goal=Goal(p99_ms=1e6), instances=128, max_batch_size=1)
    assert in_flight(trial) == list(LADDER)
