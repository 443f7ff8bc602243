"""The loop: what is measured, what is known without, and how near it comes to a whole grid."""

from __future__ import annotations

from pathlib import Path

import pytest
from tunable import FormulaBench, configuration, point, trial

from resnet_serve.errors import HostError
from resnet_serve.tuning.climb import Climb
from resnet_serve.tuning.configuration import Configuration
from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.outcome import frontier
from resnet_serve.tuning.search import known, search
from resnet_serve.tuning.space import Bounds, Space
from resnet_serve.tuning.study import Study
from resnet_serve.tuning.trials import State, Trial

GOAL = Goal(p99_ms=60)


def space(cores: int = 2, versions: tuple[int, ...] = (1, 2)) -> Space:
    return Space.within(Bounds(versions, cores, GOAL.p99_ms), configuration())


def searched(
    folder: Path, bench: FormulaBench, within: Space, trials: int, goal: Goal = GOAL
) -> list[Trial]:
    with Study.opened(folder / "journal", within, {}, resume=False) as study:
        search(study, within, bench, goal, trials=trials, allowed={1, 2})
        return study.trials


def per_core(it: Configuration) -> float:
    """Version 2 is faster; the second thread of an instance does little."""
    return (8 if it.version == 1 else 5) / (1 if it.threads == 1 else 1.2)


def merged(it: Configuration) -> float:
    """Version 1 is faster, and all of it comes from threads and batches."""
    return (4 if it.version == 1 else 7) / it.threads


@pytest.mark.parametrize("image_ms", [per_core, merged])
@pytest.mark.parametrize("cores", [2, 4])
def test_it_finds_what_a_whole_grid_finds_in_a_quarter_of_the_trials(
    tmp_path: Path, image_ms, cores: int
) -> None:
    within = space(cores)
    everything = within.all()
    bench = FormulaBench(image_ms)
    grid = [Climb(bench, GOAL).trial(1, each) for each in everything]
    best = max(GOAL.value(each.points) for each in grid)
    found = searched(tmp_path, FormulaBench(image_ms), within, len(everything) // 4)
    measured = [each for each in found if each.state is not State.EQUAL]
    assert len(measured) <= len(everything) // 4
    (first, *_) = frontier.ranked(found, GOAL, {1, 2})
    assert GOAL.value(first.points) >= 0.97 * best


def test_nothing_is_measured_twice(tmp_path: Path) -> None:
    bench, within = FormulaBench(per_core), space(versions=(1,))
    found = searched(tmp_path, bench, within, 1000)
    assert len({str(each) for each in map(Configuration.to_json, bench.calls)}) == len(bench.calls)
    assert {str(each.configuration.to_json()) for each in found} >= {
        str(each.to_json()) for each in bench.calls
    }
    unknown = [each for each in within.all() if known(each, found) is None]
    assert unknown == [], "the space is exhausted"


def test_batches_that_never_formed_make_larger_limits_equal() -> None:
    made = trial(point(largest_batch=3), number=5, max_batch_size=4)
    assert known(configuration(max_batch_size=8), [made]) is made
    assert known(configuration(max_batch_size=16), [made]) is made
    assert known(configuration(max_batch_size=2), [made]) is None
    assert known(configuration(max_batch_size=8, instances=2), [made]) is None
    assert known(configuration(max_batch_size=8, delay_ms=1.0), [made]) is None
    full = trial(point(largest_batch=4), max_batch_size=4)
    assert known(configuration(max_batch_size=8), [full]) is None
    wide = trial(point(largest_batch=3), max_batch_size=16)
    assert known(configuration(max_batch_size=4), [wide]) is wide
    assert known(configuration(max_batch_size=2), [wide]) is None
    nothing = trial(max_batch_size=4)
    assert known(configuration(max_batch_size=8), [nothing]) is None


def test_an_equal_trial_says_which_one(tmp_path: Path) -> None:
    class NoBatches(FormulaBench):
        """Requests never wait together."""

        def load(self, *args: object):  # type: ignore[no-untyped-def, override]
            from dataclasses import replace

            found = super().load(*args)  # type: ignore[arg-type]
            return found and replace(found, mean_batch=1.0, largest_batch=1)

    found = searched(tmp_path, NoBatches(per_core), space(versions=(1,)), 1000)
    equal = [each for each in found if each.state is State.EQUAL]
    assert equal
    for each in equal:
        of = found[(each.equal_to or 0) - 1]
        assert of.state is not State.EQUAL
        assert each.points == of.points
        assert each.reason == f"as trial {of.number}: no batch was larger than 1"


def test_where_nothing_can_be_served_it_ends(tmp_path: Path) -> None:
    bench = FormulaBench(per_core, fails=lambda it: it != configuration())
    with pytest.raises(HostError, match=r"3 configurations in turn .* it cannot be loaded"):
        searched(tmp_path, bench, space(), 20)
    assert len(bench.calls) == 4


def test_where_the_default_fails_nothing_else_is_measured_and_the_next_run_begins_with_it(
    tmp_path: Path,
) -> None:
    bench, within = FormulaBench(per_core, fails=lambda _: True), space()
    with pytest.raises(HostError, match=r"present configuration .* it cannot be loaded"):
        searched(tmp_path, bench, within, 20)
    assert bench.calls == [within.default]
    assert searched(tmp_path, FormulaBench(per_core), within, 1)[0].configuration == within.default


def test_one_that_cannot_be_served_is_passed_over(tmp_path: Path) -> None:
    bench = FormulaBench(per_core, fails=lambda it: it.instances == 2)
    found = searched(tmp_path, bench, space(), 12)
    assert {each.state for each in found} >= {State.FAILED, State.MEASURED}


def test_a_rate(tmp_path: Path) -> None:
    goal = Goal(p99_ms=60, rate_per_s=100)
    within = space()
    bench = FormulaBench(per_core)
    grid = [Climb(bench, goal).trial(1, each) for each in within.all()]
    best = max(goal.value(each.points) for each in grid)
    found = searched(tmp_path, FormulaBench(per_core), within, len(grid) // 4, goal)
    (first, *_) = frontier.ranked(found, goal, {1, 2})
    assert goal.value(first.points) >= 0.97 * best
