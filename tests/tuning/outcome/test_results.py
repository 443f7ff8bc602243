"""What the reader of a run gets: the sentence, the frontier, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import planned
import pytest
import tunable
from tunable import point, trial

from resnet_serve import host
from resnet_serve.optional import optional
from resnet_serve.parity.latency import Ratio
from resnet_serve.planning import measured
from resnet_serve.triton.repository import Repository
from resnet_serve.tuning.candidates import find
from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.outcome import plot as plots
from resnet_serve.tuning.outcome import results
from resnet_serve.tuning.outcome.comparison import Comparison
from resnet_serve.tuning.outcome.results import Tuned
from resnet_serve.tuning.trials import State

DEFAULT = trial(point(60, 20, 1), point(25, 45, 2, pressed=0.5), number=1)
WINNER = trial(point(41, 38, 8), number=2, version=2, instances=2, threads=1, max_batch_size=8)


@pytest.fixture
def tuned(tmp_path: Path) -> Tuned:
    repository = Repository(tmp_path / "repository")
    tunable.deploy(repository, hidden=64)
    tunable.deploy(repository, hidden=32, target="openvino", precision="int8", lost_points=0.25)
    candidates = find(repository.deployed(), "net", None)
    comparison = Comparison(
        default=DEFAULT,
        winner=WINNER,
        default_point=point(25.6, 45),
        winner_point=point(41, 38),
        gain=Ratio(1.6, 1.5, 1.7),
        kept=True,
        rounds=5,
    )
    return Tuned(
        name="net",
        goal=Goal(p99_ms=50),
        candidates=candidates,
        trials=(DEFAULT, WINNER),
        comparison=comparison,
        host=host.describe(),
        space_size=78,
        command="resnet-serve tune net --p99 50ms",
        taken="2026-01-01T00:00:00+00:00",
    )


def test_the_sentence(tuned: Tuned) -> None:
    assert tuned.sentence == (
        "41 images/s at p99 38 ms with int8 on OpenVINO, 2 instances × 1 thread, batches up to 8: "
        "1.60× the default [1.50, 1.70]"
    )
    assert tuned.winner is WINNER
    assert tuned.refusal is None


def test_a_busy_host_is_recorded_and_said_in_the_sentence(tuned: Tuned) -> None:
    busy = replace(tuned, pressed=0.62)
    why = "host busy (tasks waited for a CPU 62 % of the time before)"
    assert busy.sentence == f"{tuned.sentence}; {why}: tune again on an idle host"
    assert replace(busy, comparison=None).sentence.endswith("tune again on an idle host")
    strict = replace(busy, goal=Goal(p99_ms=10), comparison=None)
    assert f"; {why}: tune again on an idle host. Allow more" in str(strict.refusal)
    found = replace(busy, comparison=replace(busy.comparison, ratios=(1.5, 1.6))).to_json()
    assert found["comparison"]["ratios"] == [1.5, 1.6]
    assert (found["pressed"], found["not_stated"]) == (0.62, why)
    for idle in (0.2, None):
        assert replace(tuned, pressed=idle).sentence == tuned.sentence
    assert (tuned.to_json()["pressed"], tuned.to_json()["not_stated"]) == (None, None)


def test_rounds_that_differ_too_much_are_said(tuned: Tuned) -> None:
    wide = changed(tuned, gain=Ratio(1.6, 1.1, 1.9))
    assert wide.winner is None
    assert "1.60× [1.10, 1.90], host busy (the rounds differ too much))" in wide.sentence


def changed(tuned: Tuned, **comparison: object) -> Tuned:
    assert tuned.comparison is not None
    return replace(tuned, comparison=replace(tuned.comparison, **comparison))


def test_nothing_better(tuned: Tuned) -> None:
    noise = changed(tuned, gain=Ratio(1.02, 0.97, 1.06))
    assert noise.winner is None
    assert noise.sentence == (
        "nothing is better than the default by more than the noise (the best other one: 1.02× "
        "[0.97, 1.06]): 25.6 images/s at p99 45 ms with fp32 on ONNX Runtime, 1 instance × 1 "
        "thread, batches up to 4"
    )
    late = changed(tuned, kept=False, winner_point=point(41, 61))
    assert "1.60× [1.50, 1.70], but at p99 61 ms" in late.sentence
    assert late.winner is None
    fast = changed(tuned, gain=Ratio(1.02, 0.97, 1.06), default_point=point(2010, 1234))
    assert "2010 images/s at p99 1234 ms" in fast.sentence
    none = replace(tuned, comparison=None)
    assert none.sentence.startswith("nothing is better than the default by more than the noise: 60")
    alone = replace(none, trials=none.trials[:1])
    assert alone.sentence.startswith("only the default was measured: 60")


def test_a_default_that_does_not_keep_the_limit(tuned: Tuned) -> None:
    slow = replace(changed(tuned, gain=None), trials=(trial(point(60, 80, 1)), WINNER))
    assert slow.sentence.endswith("; the default does not keep the limit: its lowest p99 is 45 ms")


def test_a_rate_is_told_by_its_latency(tuned: Tuned) -> None:
    rated = replace(tuned, goal=Goal(p99_ms=50, rate_per_s=40))
    assert rated.sentence.startswith("p99 38 ms at 40 images/s with int8 on OpenVINO")
    assert "1.60× better than the default" in rated.sentence


def test_a_limit_that_nothing_keeps(tuned: Tuned) -> None:
    strict = replace(tuned, goal=Goal(p99_ms=10), comparison=None)
    refusal = strict.refusal
    assert refusal is not None
    assert refusal.exit_code == 4
    assert str(refusal) == (
        "net: p99 ≤ 10 ms is not reachable on this host: the lowest p99 seen is 20 ms at "
        "concurrency 1, with fp32 on ONNX Runtime, 1 instance × 1 thread, batches up to 4. Allow "
        "more (--p99 22ms), or serve a faster precision or a smaller network."
    )
    behind = point(10, 5, None, rate_per_s=1000.0, requests=30)
    rate = Goal(p99_ms=50, rate_per_s=1000)
    late = replace(tuned, goal=rate, trials=(trial(behind),), comparison=None)
    assert str(late.refusal) == (
        "net: p99 ≤ 50 ms at 1000 requests/s is not reachable on this host: at most 10 requests/s "
        "were answered. Offer less (--rate)."
    )


def test_a_default_that_loses_too_much_need_not_be_beaten(tuned: Tuned, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    candidates = find(repository.deployed(), "net", 0.1)
    served_2 = trial(point(100, 10), number=1, version=2)
    slower = trial(point(50, 20), number=2, version=1)
    made = replace(
        changed(tuned, default=served_2, winner=slower, gain=Ratio(0.5, 0.5, 0.5)),
        candidates=candidates,
        trials=(served_2, slower),
    )
    assert made.winner is slower
    assert made.sentence.endswith("the default loses more accuracy than is allowed")
    assert changed(made, kept=False).winner is None


def test_every_trial_is_in_the_csv(tuned: Tuned) -> None:
    failed = replace(trial(number=3), state=State.FAILED, reason="it cannot be loaded")
    made = replace(tuned, trials=(DEFAULT, WINNER, failed))
    rows = list(csv.DictReader(io.StringIO(results.to_csv(made))))
    assert list(rows[0]) == list(results.COLUMNS)
    assert [(row["trial"], row["concurrency"]) for row in rows] == [
        ("1", "1"),
        ("1", "2"),
        ("2", "8"),
        ("3", ""),
    ]
    assert [row["pressed"] for row in rows] == ["", "0.5000", "", ""]
    assert rows[2]["runtime"] == "openvino"
    assert rows[2]["precision"] == "int8"
    assert float(rows[2]["lost_points"]) == 0.25
    assert float(rows[2]["throughput_per_s"]) == 41
    assert (rows[1]["met"], rows[3]["state"], rows[3]["p99_ms"]) == ("True", "failed", "")


def test_a_plan_reads_what_is_written(tuned: Tuned, tmp_path: Path) -> None:
    ran = [replace(each, executed=planned.executed()) for each in WINNER.points]
    made = replace(tuned, trials=(DEFAULT, replace(WINNER, points=tuple(ran))))
    written = results.write(made, tmp_path)
    assert "executed" not in written.csv.read_text()
    (candidate,) = measured.read(written.json, "net")
    assert candidate.title.startswith(f"version {WINNER.configuration.version}, ")
    assert candidate.stations[0].instances == WINNER.configuration.instances


def test_writes_all_three(tuned: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = results.write(tuned, tmp_path / "out")
    assert written.plot is not None
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
        "tune-net.csv",
        "tune-net.json",
        "tune-net.svg",
    ]
    document = json.loads(written.json.read_text())
    assert document["sentence"] == tuned.sentence
    assert document["chosen"]["instances"] == 2
    assert document["comparison"]["gain"]["median"] == 1.6
    assert len(document["trials"]) == 2
    monkeypatch.setattr(
        plots, "matplotlib_figure", optional("no_such_package.figure", extra="plot")
    )
    without = results.write(tuned, tmp_path / "out")
    assert without.plot is None
    assert "resnet-serve[plot]" in str(without.note)


def test_the_frontier_and_the_trials_as_lines(tuned: Tuned) -> None:
    lines = results.frontier_lines(tuned.trials, tuned.goal, tuned.candidates)
    assert [line.split()[0] for line in lines] == ["60.0"]
    strict = results.frontier_lines(tuned.trials, Goal(p99_ms=10), tuned.candidates)
    assert "(over the limit)" in strict[0]
    line = results.line(WINNER, tuned.goal, tuned.candidates)
    assert line == (
        "int8 on OpenVINO, 2 instances × 1 thread, batches up to 8: 41.0 images/s at p99 38.0 ms, "
        "concurrency 8 (measured: no more throughput)"
    )
    failed = replace(trial(), state=State.FAILED, reason="it cannot be loaded")
    assert "nothing measured (failed: it cannot" in results.line(
        failed, tuned.goal, tuned.candidates
    )
