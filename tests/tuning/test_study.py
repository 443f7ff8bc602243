"""Optuna's study and its journal: what is asked, what is kept, and what a kill leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tunable import configuration, point, trial

from resnet_serve.errors import HostError, UsageError
from resnet_serve.tuning.configuration import Configuration
from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.space import Bounds, Space
from resnet_serve.tuning.study import Study
from resnet_serve.tuning.trials import State, Trial

SPACE = Space.within(Bounds((1, 2), 2, 50), configuration())
ABOUT = {"model": "net", "goal": {"p99_ms": 50}, "cores": 2}
GOAL = Goal(p99_ms=50)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "new" / "tune-net.journal"


def opened(journal: Path, *, resume: bool = False, **about: object) -> Study:
    return Study.opened(journal, SPACE, {**ABOUT, **about}, resume=resume)


def measured(wanted: Configuration, number: int) -> Trial:
    made = trial(point(100 * wanted.instances + wanted.max_batch_size), number=number)
    return replace(made, configuration=wanted)


def step(study: Study) -> Trial:
    wanted = study.ask()
    made = measured(wanted, study.number)
    study.tell(made, GOAL.value(made.points))
    return made


def test_it_begins_with_the_openings(journal: Path) -> None:
    openings = SPACE.openings()
    with opened(journal) as study:
        assert [step(study).configuration for _ in openings] == list(openings)
        after = study.ask()
        assert after in SPACE.all()


def test_what_is_suggested_comes_next(journal: Path) -> None:
    wanted = configuration(version=2, max_batch_size=2)
    with opened(journal) as study:
        for _ in SPACE.openings():
            step(study)
        study.suggest(wanted)
        assert study.ask() == wanted


def test_it_goes_on_where_it_was_interrupted(journal: Path) -> None:
    with opened(journal) as study:
        before = [step(study) for _ in range(3)]
        lost = study.ask()  # and then a kill
    with opened(journal, resume=True) as study:
        assert study.trials == before
        asked = [step(study).configuration for _ in SPACE.openings()]
    assert lost in asked


def test_a_run_without_a_trial_begins_again_with_the_default(journal: Path) -> None:
    for resume in (True, False):
        with opened(journal, images="nowhere") as study:
            study.ask()  # and then a kill
        with opened(journal, resume=resume) as study:
            assert study.ask() == SPACE.default


def test_what_failed_is_measured_again(journal: Path) -> None:
    with opened(journal) as study:
        first = step(study)
        failed = replace(measured(study.ask(), study.number), points=(), state=State.FAILED)
        study.tell(failed, GOAL.value(()))
        third = step(study)
    with opened(journal, resume=True) as study:
        assert study.trials == [first, third]
        assert study.number == 4, "the numbers of trials stay different"
        again = [step(study).configuration for _ in SPACE.openings()]
    assert again.count(failed.configuration) == 1
    with opened(journal, resume=True) as study:
        after = [study.ask() for _ in SPACE.openings()]
    assert failed.configuration not in after


def test_a_kill_between_its_two_writes_loses_nothing(journal: Path) -> None:
    with opened(journal) as study:
        wanted = study.ask()
        made = measured(wanted, 1)
        recorded = {"trial": made.to_json(), "value": 104.0}
        study._asked.set_user_attr("trial", recorded)
    with opened(journal, resume=True) as study:
        assert study.trials == [made]
        finished = study._found.get_trials(deepcopy=False)[0]
        assert finished.value == 104.0


@pytest.mark.parametrize("kept", [1, 10, 50])
def test_a_last_line_that_was_cut_is_dropped(journal: Path, kept: int) -> None:
    with opened(journal) as study:
        before = [step(study) for _ in range(2)]
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole.splitlines()[-1][:kept])
    with opened(journal, resume=True) as study:
        assert study.trials == before
        step(study)
    for line in journal.read_text().splitlines():
        json.loads(line)


def test_a_journal_cut_anywhere_is_read(journal: Path) -> None:
    with opened(journal) as study:
        for _ in range(3):
            step(study)
    whole = journal.read_bytes()
    for end in range(0, len(whole), len(whole) // 25):
        journal.write_bytes(whole[:end])
        if not whole[:end].count(b"\n"):
            continue
        with opened(journal, resume=True) as study:
            assert len(study.trials) <= 3
            step(study)


def test_another_run_is_not_gone_on_with(journal: Path) -> None:
    with opened(journal) as study:
        step(study)
    with pytest.raises(UsageError, match="was another one: cores changed"):
        opened(journal, resume=True, cores=4)
    with opened(journal, resume=True) as study:
        assert len(study.trials) == 1, "the refusal closed it and changed nothing"


def test_an_interrupted_run_is_not_thrown_away(journal: Path) -> None:
    with opened(journal) as study:
        step(study)
    with pytest.raises(UsageError, match="--resume goes on with it"):
        opened(journal)
    with opened(journal, resume=True) as study:
        study.end()
    with opened(journal) as study:
        assert study.trials == [], "a complete one is"


def test_there_must_be_one_to_go_on_with(journal: Path) -> None:
    with pytest.raises(UsageError, match="Leave out --resume"):
        opened(journal, resume=True)


def test_one_run_at_a_time(journal: Path) -> None:
    with opened(journal), pytest.raises(HostError, match="another run writes this journal"):
        opened(journal)
    opened(journal, resume=True).close()


def test_a_repeated_suggestion_is_no_trial(journal: Path) -> None:
    with opened(journal) as study:
        step(study)
        study.ask()
        study.repeat(104.0)
    with opened(journal, resume=True) as study:
        assert len(study.trials) == 1
