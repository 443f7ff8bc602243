"""The log file is bounded, whatever the server writes."""

from __future__ import annotations

import array
import fcntl
import os
import termios
import time
from pathlib import Path

import pytest

from resnet_serve.triton.supervision.log_file import LogFile, rotated


def test_the_output_and_our_lines_arrive(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")
    os.write(log.descriptor, b"theirs\n")
    log.line("ours")
    log.close()
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["ours", "theirs"]


@pytest.mark.parametrize("line", [b"x" * 99 + b"\n", b"x" * 100])
def test_it_is_rotated(tmp_path: Path, line: bytes) -> None:
    """Also a server that never ends its line."""
    log = LogFile(tmp_path / "log", limit_bytes=1000, kept=2)
    for _ in range(100):
        os.write(log.descriptor, line)
        _wait_until_read(log.descriptor)
    log.close()
    files = sorted(tmp_path.iterdir())
    assert files == [tmp_path / "log", rotated(tmp_path / "log", 1), rotated(tmp_path / "log", 2)]
    # Rotated where a line ends, or at twice the limit; the newest line is written before that.
    assert all(path.stat().st_size <= 2000 + len(line) for path in files)


def _slow_log(path: Path, monkeypatch: pytest.MonkeyPatch) -> LogFile:
    """A log that takes its time, with eight times 40,000 bytes in its pipe or on the way there."""
    log = LogFile(path)
    write = log._write

    def slow(data: bytes) -> None:
        time.sleep(0.1)
        write(data)

    monkeypatch.setattr(log, "_write", slow)
    for _ in range(8):
        os.write(log.descriptor, 40_000 * b"x")
    return log


def test_all_is_written_also_where_that_takes_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = _slow_log(tmp_path / "log", monkeypatch)
    log.close(timeout_s=0.01)
    assert (tmp_path / "log").stat().st_size == 8 * 40_000


def test_what_a_process_wrote_before_it_ended_can_be_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = _slow_log(tmp_path / "log", monkeypatch)
    log.settle()
    assert (tmp_path / "log").stat().st_size == 8 * 40_000
    log.close()


def test_a_process_that_keeps_the_pipe_does_not_keep_the_log_open(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")
    kept = os.dup(log.descriptor)
    os.write(kept, b"all\n")
    _wait_until_read(kept)
    log.close(timeout_s=0.01)
    os.close(kept)
    assert (tmp_path / "log").read_text() == "all\n"


def _wait_until_read(pipe: int) -> None:
    """What is read at once is not divided between files: a busy host could read it all at once."""
    waiting = array.array("i", [1])
    while waiting[0]:
        fcntl.ioctl(pipe, termios.FIONREAD, waiting)
        os.sched_yield()


def test_what_is_in_the_newest_files_is_the_newest(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", limit_bytes=50, kept=1)
    for number in range(100):
        log.line(f"line {number:3}")
    log.close()
    text = rotated(tmp_path / "log", 1).read_text() + (tmp_path / "log").read_text()
    numbers = [int(each.split()[1]) for each in text.splitlines()]
    assert numbers == list(range(100))[-len(numbers) :]
    assert len(numbers) >= 5


def test_a_full_disk_stops_nothing(small_disk: Path) -> None:
    log = LogFile(small_disk / "log")
    for _ in range(100):
        log.line("x" * 1000)
    log.close()
    assert (small_disk / "log").stat().st_size <= 64 * 1024
