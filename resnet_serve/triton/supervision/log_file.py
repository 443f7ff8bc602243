"""The log file of a server: written through a pipe, and rotated so that it stays bounded.

`server.log` grows to `LIMIT_BYTES` and is then renamed to `server.log.1`, as older ones to `.2` and
`.3`; there are at most `KEPT` of these.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import select
import tempfile
import termios
import threading
import time
from pathlib import Path
from typing import IO

from resnet_serve import durable

LIMIT_BYTES = 16 * 1024 * 1024
KEPT = 3


class LogFile:
    """A bounded file; `descriptor` takes the output of a process, `line` adds one of ours."""

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES, kept: int = KEPT) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        self._kept = kept
        self._lock = threading.Lock()
        self._file = path.open("ab", buffering=0)
        self._reader, self.descriptor = os.pipe()
        self._thread = threading.Thread(target=self._copy, args=(self._reader,), daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """Add one line."""
        with self._lock:
            self._write(f"{text}\n".encode())

    def close(self, timeout_s: float = 2.0, longest_s: float = 20.0) -> None:
        """Write what is still in the pipe.

        Returns after `timeout_s` where a process still has it, and later where a busy host has not
        yet written all; after `longest_s` in any case.
        """
        os.close(self.descriptor)
        started = time.monotonic()
        self._thread.join(timeout_s)
        self.settle(longest_s - (time.monotonic() - started))

    def settle(self, longest_s: float = 20.0) -> None:
        """Return when all that was put into the pipe before is in the file."""
        until = time.monotonic() + longest_s
        while (left_s := until - time.monotonic()) > 0 and self._lock.acquire(timeout=left_s):
            unread = self._unread()
            self._lock.release()
            if not unread:
                return
            time.sleep(0.01)

    def _unread(self) -> bool:
        count = array.array("i", [0])
        with contextlib.suppress(OSError):  # the thread has closed it
            fcntl.ioctl(self._reader, termios.FIONREAD, count)
        return self._thread.is_alive() and count[0] > 0

    def _copy(self, reader: int) -> None:
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            while select.select([pipe], [], []):
                with self._lock:  # nothing is between the pipe and the file while it is free
                    if not (data := pipe.read(65536)):
                        return
                    self._write(data)

    def _write(self, data: bytes) -> None:
        # A full disk must not stop the server: what cannot be written is left out.
        with contextlib.suppress(OSError):
            self._file.write(data)
            size = self._file.tell()
            whole = data.endswith(b"\n")
            if (size >= self._limit_bytes and whole) or size >= 2 * self._limit_bytes:
                self._rotate()

    def _rotate(self) -> None:
        for number in range(self._kept, 0, -1):
            older = rotated(self.path, number)
            newer = rotated(self.path, number - 1) if number > 1 else self.path
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
        self._file.close()
        self._file = self.path.open("ab", buffering=0)


def open_log(path: Path | None) -> IO[bytes]:
    """An empty log, to append to: at `path`, or a temporary one; raises `HostError`."""
    if path is None:
        descriptor, name = tempfile.mkstemp(prefix="resnet-serve-", suffix=".log")
        os.close(descriptor)
        path = Path(name)
    with durable.explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        return path.open("ab")


def remove(path: Path) -> None:
    """Remove a log, with what was rotated of it."""
    for each in (path, *(rotated(path, number + 1) for number in range(KEPT))):
        each.unlink(missing_ok=True)


def rotated(path: Path, number: int) -> Path:
    """The name of the log that was rotated so many times."""
    return path.with_name(f"{path.name}.{number}")
