"""Leftovers: ends what a local Ray leaves behind when the run that started it was killed.

A program of its own, which only waits for its standard input to end. Ray's main processes end with
the run; two of its agents do not. Here all that still have a file of Ray's folder open are ended,
and the folder is removed. When the run ends in order, the folder is gone and nothing is done.

python leftovers.py FOLDER
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST_S, _EVERY_S = 10.0, 0.2


@contextmanager
def ended_with_us(folder: Path) -> Iterator[None]:
    """Have the leftovers of a Ray in `folder` ended, however this process ends."""
    command = [sys.executable, "-I", "-S", __file__, str(folder)]
    # In a session of its own, Ctrl-C and the signals to a group do not reach it.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        process.communicate()


def end(folder: Path) -> None:
    """End the processes that have a file below `folder` open, and remove it."""
    deadline = time.monotonic() + _LONGEST_S
    while folder.is_dir() and time.monotonic() < deadline:
        found = list(users(folder))
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            shutil.rmtree(folder, ignore_errors=True)
        time.sleep(_EVERY_S)


def users(folder: Path) -> Iterator[int]:
    """The other processes that have a file below `folder` open."""
    prefix = f"{folder.resolve()}/"
    for place in Path("/proc").iterdir():
        if not place.name.isdecimal() or int(place.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # of another user, or it has ended
            links = [os.readlink(each) for each in (place / "fd").iterdir()]  # noqa: PTH115
            if any(link.startswith(prefix) for link in links):
                yield int(place.name)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end(Path(sys.argv[1]))
