"""Earlier runs of a model: kept, compared where they can be, and read again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from load_tests import level, load_test

from resnet_serve.errors import InputFileError
from resnet_serve.loadtest import history
from resnet_serve.loadtest.history import Earlier
from resnet_serve.triton.client_tls import ClientTls


def test_each_run_is_a_line_and_the_last_ones_are_shown(tmp_path: Path) -> None:
    runs = [replace(load_test(level(1, 100 + day)), taken=f"2026-01-0{day}") for day in range(1, 7)]
    shown = [history.add(tmp_path, run) for run in runs]
    assert shown[0] == ()
    assert [each.taken for each in shown[1]] == ["2026-01-01"]
    assert [each.taken for each in shown[5]] == ["2026-01-05", "2026-01-04", "2026-01-03"]
    kept = history.read(tmp_path, "toy")
    assert kept == tuple(map(Earlier.of, runs))
    assert kept[-1].levels[0].throughput_per_s == 106
    assert history.read(tmp_path, "other") == ()


def test_another_kind_of_load_and_a_busy_host_are_not_compared(tmp_path: Path) -> None:
    quiet = load_test(level(1))
    history.add(tmp_path, replace(quiet, pressed=0.9))
    history.add(tmp_path, load_test(level(None, rate_per_s=40.0)))
    batched = replace(quiet, measurement=replace(quiet.measurement, batch_size=2))
    history.add(tmp_path, batched)
    encrypted = replace(quiet, measurement=replace(quiet.measurement, tls=ClientTls()))
    history.add(tmp_path, encrypted)
    assert history.add(tmp_path, quiet) == ()
    assert history.add(tmp_path, quiet) == (Earlier.of(quiet),)
    assert history.add(tmp_path, encrypted) == (Earlier.of(encrypted),)


def test_a_file_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_MOST_RUNS", 3)
    for day in range(1, 6):
        history.add(tmp_path, replace(load_test(level(1)), taken=f"2026-01-0{day}"))
    assert [each.taken[-1] for each in history.read(tmp_path, "toy")] == ["3", "4", "5"]


@pytest.mark.parametrize("line", ["text", "[]", "{}", '{"taken": 3}'])
def test_a_line_that_is_none(tmp_path: Path, line: str) -> None:
    history.add(tmp_path, load_test(level(1)))
    file = history.path(tmp_path, "toy")
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(InputFileError, match=r"history.jsonl:2: is no line"):
        history.add(tmp_path, load_test(level(1)))
    file.unlink()
    assert history.add(tmp_path, load_test(level(1))) == ()
