"""Chaos, as the benchmark does it, for a few events: no wrong label, every failure retryable."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import chaos
import chaos_clients
import grpc
import pytest
import versioned
from chaos_clients import Answer
from chaos_judged import Happened, Run, Timeline, broken, rows, summary

from resnet_client import DeadlineError, ServerError
from resnet_client.prediction import Prediction

FEW = (chaos.CHANGE, chaos.SERVER, chaos.STUB, chaos.CLIENT)


@pytest.mark.triton
@pytest.mark.slow
def test_the_server_its_processes_and_a_client_are_killed_and_the_version_changes(
    tmp_path: Path,
) -> None:
    events = itertools.islice(chaos.schedule(1, FEW, (0.1, 0.3)), len(FEW))
    run = chaos.attack(tmp_path, events, clients=2, threads=2)
    assert broken(run) == []
    assert sorted(each.kind for each in run.happened) == sorted(FEW)
    found = summary(run)
    assert set(found["answers_by_version"]) == {1, 2}
    by_kind = {each.kind: each for each in run.happened}
    assert by_kind[chaos.SERVER].restarts == 1
    assert by_kind[chaos.STUB].restarts == 0, "its model alone is loaded again"
    assert all(row["answers"] for row in rows(run))


def test_a_schedule_is_its_seed_and_has_every_kind() -> None:
    one, again, other = (list(itertools.islice(chaos.schedule(seed), 24)) for seed in (1, 1, 2))
    assert one == again != other
    for start in range(0, 24, 8):
        assert sorted(each.kind for each in one[start : start + 8]) == sorted(chaos.KINDS)


# --- the judgement -------------------------------------------------------------------------------


def predictions(version: int, level: int) -> list[Prediction]:
    logits = versioned.expected(version, level).tolist()
    labels = versioned.labels_of(version)
    found = [Prediction(labels[i], i, None, logit) for i, logit in enumerate(logits)]
    return sorted(found, key=lambda each: -each.logit)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("level", versioned.COLOURS)
def test_an_answer_is_of_the_version_whose_labels_and_logits_it_has(
    version: int, level: int
) -> None:
    good = predictions(version, level)
    assert chaos_clients.version_of(good, level) == version
    other = next(each for each in versioned.COLOURS if each != level)
    assert chaos_clients.version_of(good, other) == 0, "of another image"
    assert chaos_clients.version_of(good[:2], level) == 0, "a class is missing"
    for index in range(versioned.CLASSES):
        wrong = list(good)
        wrong[index] = replace(good[index], label="colour 3")
        assert chaos_clients.version_of(wrong, level) == 0
        wrong[index] = replace(good[index], logit=good[index].logit * 2 + 0.1)
        assert chaos_clients.version_of(wrong, level) == 0


def answer(asked: float, done: float, version: int | None, *, retryable: bool = False) -> Answer:
    return Answer(asked, done, "server", version, "" if version else "Error: why", retryable)


def test_a_version_may_answer_while_it_is_served() -> None:
    """1 is served; at 10 the change to 2 begins, at 20 it is done; at 30 the change back fails."""
    timeline = Timeline()
    timeline.only(1, -math.inf)
    timeline.may(2, 10)
    timeline.only(2, 20)
    timeline.may(1, 30)
    timeline.only(2, 40)
    allowed = [(1, 2, 1), (8, 9, 1), (12, 13, 1), (12, 13, 2), (9, 11, 2), (19, 25, 1), (35, 36, 1)]
    refused = [(1, 2, 2), (8, 9.9, 2), (21, 25, 1), (41, 42, 1), (1, 42, 3)]
    assert [each for each in allowed if not timeline.allows(answer(*each))] == []
    assert [each for each in refused if timeline.allows(answer(*each))] == []
    assert timeline.allows(answer(45, 46, 2))


def test_what_must_not_happen_is_found_and_counted() -> None:
    timeline = Timeline()
    timeline.only(1, -math.inf)
    run = Run(0.0, timeline, [Happened(chaos.SERVER, 1, 1.5, 4, 1, 2.0, "")])
    run.answers += [answer(0, 1, 1), answer(2, 3, None, retryable=True), answer(2, 4, 1)]
    assert broken(run) == []
    assert (rows(run)[0]["answers"], rows(run)[0]["failures"]) == (2, 1)
    run.answers += [answer(2, 3, 0), answer(2, 3, 2), answer(2, 3, None)]
    run.wrong.append("said by the run")
    said, of_none, not_served, failed = broken(run)
    assert said == "said by the run"
    assert of_none.startswith("of no version")
    assert not_served.startswith("version 2 when it was not served")
    assert failed == "not retryable: Error: why"
    assert summary(run)["wrong_or_not_retryable"] == 4
    assert summary(run)["failures"] == {"Error": 2}


class Failed(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self.code = lambda: code
        self.details = lambda: details


def test_an_error_is_retryable_by_its_class_or_by_what_caused_it() -> None:
    assert chaos_clients.retryable(DeadlineError("late"))
    unhealthy, refused = ServerError("stub"), ServerError("shape")
    unhealthy.__cause__ = Failed(grpc.StatusCode.INTERNAL, "Stub process 'net' is not healthy.")
    refused.__cause__ = Failed(grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape")
    assert chaos_clients.retryable(unhealthy)
    assert not chaos_clients.retryable(refused)
    assert not chaos_clients.retryable(ServerError("no cause"))


def test_the_last_line_of_a_killed_client_may_be_incomplete(tmp_path: Path) -> None:
    kept = answer(1, 2, 1)
    path = tmp_path / "answers"
    path.write_text(json.dumps(asdict(kept)) + '\n{"asked": 3.0, "do', encoding="utf-8")
    assert list(chaos_clients.read(path)) == [kept]
