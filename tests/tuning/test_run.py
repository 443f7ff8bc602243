"""A whole run with a host that is a formula: found, compared, resumed, applied."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tunable
from serve_command import serve
from tunable import FormulaBench

from resnet_serve import host
from resnet_serve.errors import HostError, InputFileError, UsageError
from resnet_serve.triton import config
from resnet_serve.triton.repository import CONFIG_FILE, Repository
from resnet_serve.tuning import run as runs
from resnet_serve.tuning.candidates import Candidates
from resnet_serve.tuning.configuration import Configuration
from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.run import Request, Told, plan, run
from resnet_serve.tuning.trials import Trial


def image_ms(it: Configuration) -> float:
    """The default is version 2 with one instance of one thread; version 1 is slower."""
    return (12 if it.version == 1 else 6) / (1 if it.threads == 1 else 1.5)


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    monkeypatch.setattr(host, "cores", lambda: 2)
    repository = tmp_path / "repository"
    tunable.deploy(repository, hidden=64)
    tunable.deploy(repository, hidden=32, target="openvino", precision="int8", lost_points=0.4)
    return Request("net", repository, Goal(p99_ms=80), tmp_path / "tuning", trials=12)


def bench_of(bench: FormulaBench):
    return lambda *_: bench


def test_it_finds_the_best_and_changes_nothing(request_: Request) -> None:
    planned: list[tuple[Candidates, int, int]] = []
    seen: list[Trial] = []
    told = Told(
        planned=lambda *facts: planned.append(facts), ended=lambda trial, _: seen.append(trial)
    )
    outcome = run(request_, told, bench_of(FormulaBench(image_ms)))
    tuned = outcome.tuned
    assert tuned.trials == tuple(seen)
    assert tuned.default.configuration == tunable.configuration(version=2)
    assert tuned.winner is not None
    assert tuned.winner.configuration.version == 2
    assert tuned.winner.configuration.instances == 2
    assert tuned.comparison is not None
    assert tuned.comparison.gain is not None
    assert tuned.comparison.gain.median > 1.3
    assert outcome.applied is None
    assert planned[0][1:] == (102, 12)
    assert "--p99 80ms" in tuned.command
    assert Repository(request_.repository).versions("net") == [1, 2]


def test_applied(request_: Request) -> None:
    outcome = run(replace(request_, apply=True), Told(), bench_of(FormulaBench(image_ms)))
    assert outcome.applied is not None
    assert outcome.applied.version == 3
    text = (request_.repository / "net" / CONFIG_FILE).read_text()
    assert config.parse(text).instance_group[0].count == 2


def test_what_is_served_is_said_where_the_results_cannot_be_written(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        runs, "run", lambda asked, told: run(asked, told, bench_of(FormulaBench(image_ms)))
    )
    (request_.output / "tune-net.csv").mkdir(parents=True)
    folder = request_.repository.parent
    words = ("tune", "net", "--p99", "80ms", "--trials", 12, "--repository", "repository")
    done = serve(folder, *words, "--apply")
    assert done.returncode == 4
    assert "net version 3 is served with it" in done.stdout.splitlines()[-1]
    assert "tune-net.csv: cannot write" in done.stderr.splitlines()[-1]


def test_the_budget_decides_between_precisions(request_: Request) -> None:
    strict = replace(request_, goal=replace(request_.goal, budget_points=0.1))
    tuned = run(strict, Told(), bench_of(FormulaBench(image_ms))).tuned
    assert tuned.winner is not None
    assert tuned.winner.configuration.version == 1
    assert "the default loses more accuracy than is allowed" in tuned.sentence


def test_nothing_better_than_a_default_that_is_the_best(request_: Request) -> None:
    def best_as_it_is(it: Configuration) -> float:
        return 6 if it == tunable.configuration(version=2) else 20

    bench = FormulaBench(best_as_it_is)
    outcome = run(replace(request_, apply=True), Told(), bench_of(bench))
    assert outcome.tuned.winner is None
    assert outcome.applied is None
    assert outcome.tuned.sentence.startswith("nothing is better than the default")
    assert Repository(request_.repository).versions("net") == [1, 2]


def test_a_limit_that_nothing_keeps_is_said_with_the_lowest_seen(request_: Request) -> None:
    strict = replace(request_, goal=Goal(p99_ms=1))
    tuned = run(strict, Told(), bench_of(FormulaBench(image_ms))).tuned
    assert tuned.comparison is None
    assert tuned.refusal is not None
    assert "the lowest p99 seen is" in str(tuned.refusal)


class Killed(BaseException):
    """Stands for the end of the process: nothing handles it."""


def test_an_interrupted_run_goes_on_with_what_it_measured(request_: Request) -> None:
    first = FormulaBench(image_ms)

    def ended(trial: Trial, _: object) -> None:
        if trial.number == 5:
            raise Killed

    with pytest.raises(Killed):
        run(request_, Told(ended=ended), bench_of(first))
    with pytest.raises(UsageError, match="--resume goes on"):
        run(request_, Told(), bench_of(FormulaBench(image_ms)))
    with pytest.raises(UsageError, match="goal changed"):
        other = replace(request_, goal=Goal(p99_ms=60), resume=True)
        run(other, Told(), bench_of(FormulaBench(image_ms)))
    second = FormulaBench(image_ms)
    tuned = run(replace(request_, resume=True), Told(), bench_of(second)).tuned
    both = [str(each.to_json()) for each in (*first.calls, *second.calls)]
    assert len(set(both)) == 12, "beside them, the comparison serves two of them again"
    assert len(both) <= 12 + 2 * 3
    assert tuned.winner is not None
    assert tuned.winner.configuration.instances == 2


def test_a_complete_run_is_applied_without_measuring_its_trials_again(request_: Request) -> None:
    run(request_, Told(), bench_of(FormulaBench(image_ms)))
    again = FormulaBench(image_ms)
    outcome = run(replace(request_, resume=True, apply=True), Told(), bench_of(again))
    assert outcome.applied is not None
    assert outcome.applied.version == 3
    assert len(again.calls) == 3, "the two of the comparison, and the chosen one for its examples"
    # Killed after the deployment, before it was served: the same command completes it.
    Repository(request_.repository).serve(dict.fromkeys(tunable.NAMES, 2))
    completed = run(
        replace(request_, resume=True, apply=True), Told(), bench_of(FormulaBench(image_ms))
    )
    assert completed.applied is not None
    assert completed.applied.version == 3
    assert Repository(request_.repository).versions("net") == [1, 2, 3]


def test_a_default_that_cannot_be_served(request_: Request) -> None:
    bench = FormulaBench(image_ms, fails=lambda it: it == tunable.configuration(version=2))
    with pytest.raises(HostError, match="the present configuration cannot be measured"):
        run(request_, Told(), bench_of(bench))


def test_images_are_looked_at_before_anything_is_measured(
    request_: Request, tmp_path: Path
) -> None:
    missing = replace(request_, images=tmp_path / "nowhere")
    with pytest.raises(InputFileError, match="no such image"):
        run(missing, Told(), bench_of(FormulaBench(image_ms)))
    assert not request_.output.exists()


def test_more_trials_than_configurations_are_all_of_them(request_: Request) -> None:
    assert plan(replace(request_, trials=1000)).trials == 102


def test_without_optuna_the_extra_is_named(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resnet_serve.optional import optional
    from resnet_serve.tuning import study

    monkeypatch.setattr(study, "journals", optional("no_such_package.journal", extra="tune"))
    with pytest.raises(HostError, match=r"resnet-serve\[tune\]"):
        run(request_, Told(), bench_of(FormulaBench(image_ms)))
    run_again = replace(request_, resume=False)
    monkeypatch.undo()
    monkeypatch.setattr(host, "cores", lambda: 2)
    assert run(run_again, Told(), bench_of(FormulaBench(image_ms))).tuned.trials
