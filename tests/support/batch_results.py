"""What a run of `resnet-serve batch` has left, and its command as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from patience import PATIENCE_S
from pyarrow import parquet as pq
from serve_command import environment


def results(output: Path) -> list[dict[str, Any]]:
    """The rows of a result by number; fails unless every number is there exactly once."""
    found = sorted(pq.read_table(output).to_pylist(), key=lambda row: row["row"])
    assert [row["row"] for row in found] == list(range(len(found)))
    return list(found)


def parts(output: Path) -> dict[str, int]:
    """The parts that are there, each with the number of its file system entry."""
    return {path.name: path.stat().st_ino for path in output.glob("part-*.parquet")}


def batch(folder: Path, *words: object) -> subprocess.Popen[str]:
    """Start `resnet-serve batch WORDS` in a folder, in a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "resnet_serve.cli", "batch", *map(str, words)],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something holds; fails where the process ends before, or it takes too long."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if process.poll() is not None:
            out, err = process.communicate()
            raise AssertionError(f"it has ended with {process.returncode}: {out}{err}")
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def descendants(pid: int) -> Iterator[tuple[int, str]]:
    """The processes that a process has started, and those that they have: pid and command."""
    parents: dict[int, list[int]] = {}
    for each in Path("/proc").iterdir():
        if each.name.isdecimal():
            try:
                stat = (each / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(each.name))
    left = [pid]
    while left:
        for child in parents.get(left.pop(), []):
            left.append(child)
            try:
                command = (Path("/proc") / str(child) / "cmdline").read_bytes()
            except OSError:
                continue
            yield child, command.replace(b"\0", b" ").decode(errors="replace")


def alive(pid: int) -> bool:
    """Whether a process is there, and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def end(process: subprocess.Popen[str]) -> None:
    """End a process that a test has left, and what it has started."""
    if process.poll() is None:
        for pid, _ in [*descendants(process.pid)]:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
        process.kill()
    process.communicate()
