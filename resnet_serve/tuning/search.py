"""The search: as many trials as are allowed, each measured unless its outcome is known.

A suggestion that was measured before costs nothing. Nor does one whose outcome follows from the
batches that another one ran: where they were never as large as allowed, a larger limit, or another
one that is still larger than them, changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from resnet_serve.errors import HostError
from resnet_serve.tuning.climb import Bench, Climb
from resnet_serve.tuning.configuration import Configuration
from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.outcome import frontier
from resnet_serve.tuning.space import Space
from resnet_serve.tuning.study import Study
from resnet_serve.tuning.trials import State, Trial

_KNOWN_IN_TURN = 10  # suggestions in turn whose outcome is known; then another one is drawn
_FAILED_IN_TURN = 3


def search(
    study: Study,
    space: Space,
    bench: Bench,
    goal: Goal,
    *,
    trials: int,
    allowed: Collection[int],
    begun: Callable[[Configuration], None] = lambda _: None,
    ended: Callable[[Trial], None] = lambda _: None,
) -> None:
    """Measure until the study has `trials` measured ones, or the space is exhausted.

    `allowed` are the versions that may win. Raises `HostError` where nothing can be served, and
    where the default cannot be measured, which is then not a trial: the next run begins with it.
    """
    everything, known_in_turn = space.all(), 0
    drawn = random.Random(len(study.trials))  # noqa: S311 - it draws configurations
    while len(study.measured) < trials:
        unknown = [each for each in everything if known(each, study.trials) is None]
        if not unknown:
            return
        if known_in_turn >= _KNOWN_IN_TURN:
            study.suggest(drawn.choice(unknown))
        wanted = study.ask()
        number = study.number
        same = known(wanted, study.trials)
        if same is not None and same.configuration == wanted:
            known_in_turn += 1
            study.repeat(goal.value(same.points))
            continue
        if same is not None:
            known_in_turn += 1
            trial = _equal(number, wanted, same)
        else:
            known_in_turn = 0
            begun(wanted)
            best = frontier.ranked(study.trials, goal, allowed)
            trial = Climb(bench, goal, best[0] if best else None).trial(number, wanted)
        if trial.state is State.FAILED and wanted == space.default:
            raise HostError(f"the present configuration cannot be measured: {trial.reason}")
        study.tell(trial, goal.value(trial.points))
        ended(trial)
        _check_serving(study.measured)


def known(wanted: Configuration, trials: Sequence[Trial]) -> Trial | None:
    """The trial that shows what a configuration does; None where none does."""
    for trial in trials:
        if trial.configuration == wanted:
            return trial
        if trial.state is State.EQUAL:
            continue
        alike = replace(trial.configuration, max_batch_size=wanted.max_batch_size) == wanted
        limits = trial.configuration.max_batch_size, wanted.max_batch_size
        measured = trial.state is not State.FAILED and trial.points
        if alike and measured and min(limits) > trial.largest_batch:
            return trial
    return None


def _equal(number: int, wanted: Configuration, same: Trial) -> Trial:
    return replace(
        same,
        number=number,
        configuration=wanted,
        state=State.EQUAL,
        reason=f"as trial {same.number}: no batch was larger than {same.largest_batch}",
        equal_to=same.number,
    )


def _check_serving(measured: Sequence[Trial]) -> None:
    last = measured[-_FAILED_IN_TURN:]
    if len(last) == _FAILED_IN_TURN and all(each.state is State.FAILED for each in last):
        raise HostError(
            f"{_FAILED_IN_TURN} configurations in turn could not be measured: {last[-1].reason}",
            remedy="Once that is fixed, go on with --resume.",
        )
