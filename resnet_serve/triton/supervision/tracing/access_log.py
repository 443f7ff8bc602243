"""The access log: Triton's trace of every request, turned into lines of JSON.

    tritonserver ─► requests/request.0, .1, … ─► this thread ─► lines, and counts by status

A file is removed when it has been read. Where requests come faster than they can be read, the
oldest are left out, and the number of them is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from resnet_serve.triton.supervision.health.probe import Probe
from resnet_serve.triton.supervision.log_file import LogFile
from resnet_serve.triton.supervision.orders import Orders
from resnet_serve.triton.supervision.tracing import records
from resnet_serve.triton.supervision.tracing.models import Models
from resnet_serve.triton.supervision.tracing.records import Line, Steps
from resnet_serve.triton.supervision.tracing.settings import FOLDER

MOST_WAITING = 20_000
_POLL_S = 0.2
_MOST_BYTES, _PART_BYTES = 1 << 20, 1 << 16
_COMPLETE_S = 5.0  # a file that is not complete by then was left by a server that crashed


class AccessLog:
    """Reads the files in `folder`; `write` gets whole lines, a few hundred at most at once.

    `counts` are the requests by model and status, of models that the server has.
    """

    def __init__(self, folder: Path, write: Callable[[str], None], steps: Steps) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.counts: Counter[tuple[str, str]] = Counter()
        self._folder = folder
        self._write = write
        self._steps = steps
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._lock = threading.Lock()
        self._thread.start()

    def drain(self) -> None:
        """Read all that is there, of a server that has ended; what is not complete is removed."""
        with self._lock:
            self._round(ended=True)

    def close(self) -> None:
        """Read all that is there, and end."""
        self._stopped.set()
        self.drain()

    def _run(self) -> None:
        while not self._stopped.wait(_POLL_S):
            with self._lock:
                self._round()

    def _round(self, *, ended: bool = False) -> None:
        names = os.listdir(self._folder)  # noqa: PTH208
        found = [f"{self._folder}/{name}" for name in sorted(names, key=_number)]
        if len(found) > MOST_WAITING:
            skipped, found = found[:-MOST_WAITING], found[-MOST_WAITING:]
            for path in skipped:
                os.unlink(path)  # noqa: PTH108
            self._write(_left_out(len(skipped)))
        for start in range(0, len(found), 200):
            lines = [str(line) for line in self._read(found[start : start + 200], ended)]
            if lines:
                self._write("\n".join(lines))

    def _read(self, paths: list[str], ended: bool) -> Iterator[Line]:
        for path in paths:
            with contextlib.suppress(OSError):
                data = _content(path)
                complete = ended or data.endswith(b"]") or len(data) > _MOST_BYTES
                if not complete and time.time() - os.stat(path).st_mtime < _COMPLETE_S:  # noqa: PTH116
                    continue
                os.unlink(path)  # noqa: PTH108 - for every request: a Path costs as much again
                line = records.read(data.decode(errors="replace"), self._steps)
                yield self._counted(line)

    def _counted(self, line: Line) -> Line:
        known = line.model is not None and line.version is not None
        if known and self._steps(line.model or "", line.version or 0) is not None:
            self.counts[line.model or "", line.status] += 1
        return line


def _content(path: str) -> bytes:
    """The beginning of a file, up to a little more than is read as a request."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        data = part = os.read(descriptor, _PART_BYTES)
        while len(part) == _PART_BYTES and len(data) <= _MOST_BYTES:
            part = os.read(descriptor, _PART_BYTES)
            data += part
        return data
    finally:
        os.close(descriptor)


def opened(orders: Orders) -> AccessLog | None:
    """The access log that is ordered; raises `OSError` for a file that cannot be opened."""
    where, endpoints = orders.access_log, orders.endpoints
    if where is None or endpoints is None:
        return None
    probe = Probe(endpoints.host, endpoints.http_port, endpoints.key)
    return AccessLog(Path(orders.scratch) / FOLDER, _sink(where), Models(probe).steps)


def _sink(where: str | int) -> Callable[[str], None]:
    if isinstance(where, int):
        return partial(_write, where)
    Path(where).parent.mkdir(parents=True, exist_ok=True)
    return LogFile(Path(where)).line


def _write(descriptor: int, text: str) -> None:
    data = memoryview(f"{text}\n".encode())
    with contextlib.suppress(OSError):  # a reader that has ended must not stop the server
        while data:
            data = data[os.write(descriptor, data) :]


def _number(name: str) -> int:
    number = name.rpartition(".")[2]
    return int(number) if number.isdecimal() else 0


def _left_out(count: int) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": now, "status": "left_out", "requests": count})
