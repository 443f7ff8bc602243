"""The status file, and the line that people read of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from resnet_serve.triton.supervision.status import GAVE_UP, RESTARTING, SERVING, Status, StatusFile


def test_every_change_is_in_the_file(tmp_path: Path) -> None:
    file = StatusFile(tmp_path / "status.json")
    file.change(state=SERVING, server_pid=5)
    file.change(restarts=2)
    assert Status.read(tmp_path / "status.json") == file.now == Status(SERVING, 5, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"colour": "red"}'])
def test_what_is_no_status_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "status.json").write_text(text)
    assert Status.read(tmp_path / "status.json") is None
    assert Status.read(tmp_path / "nothing.json") is None


def test_a_folder_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    file = StatusFile(tmp_path / "gone" / "status.json")
    file.change(restarts=1)
    assert file.now.restarts == 1


def test_what_people_read() -> None:
    once = Status(SERVING, restarts=1, last="ended by signal 11 at noon", recovery_s=4.21)
    assert Status(SERVING).told() == ""
    assert once.told() == (
        "restarted once; last: ended by signal 11 at noon, ready again after 4.2 s"
    )
    assert replace(once, state=RESTARTING, restarts=2).told() == (
        "restarted 2 times; last: ended by signal 11 at noon; not ready again yet"
    )
    assert replace(once, state=GAVE_UP, reason="5 crashes").told() == "given up: 5 crashes"
