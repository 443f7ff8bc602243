"""Pending requests: how many wait for a model, as the server's own metrics say.

    nv_inference_pending_request_count{model="net",version="1"} 5

Triton tells a backend nothing of its queue. Its metrics do, over a connection that is kept. The
supervisor says where they are; without one, and where they do not answer, nothing is known.

The page costs the server about a millisecond of the cores that the network needs, so it is asked
for seldom. Python's HTTP client and a search of the whole page would take half as long again; the
few lines of HTTP that a page on the same host needs take an eighth of that.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

METRICS_VARIABLE = "RESNET_SERVE_METRICS"  # host:port, in the environment of the server
FRESH_S = 0.02  # how long a count is used, where much waits
CALM_S = 0.2  # and where little does: a lone request would feel it most
CALM_SHARE = 4
_TIMEOUT_S = 1.0
_REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
_LENGTH = re.compile(rb"^content-length:\s*(\d+)\s*$", re.I | re.M)
_LONGEST_BYTES = 16 * 1024 * 1024
_FAMILY = b"nv_inference_pending_request_count{"
_LINE = re.compile(re.escape(_FAMILY) + rb'model="([^"]+)",version="([^"]+)"[^}]*\} (\d+)')

Counts = Mapping[tuple[str, str], int]  # by model and version


class Pending:
    """The metrics of the server at `address`, by default that of this process's supervisor."""

    def __init__(
        self, address: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._address = os.environ.get(METRICS_VARIABLE, "") if address is None else address
        self._clock = clock
        self._connection: socket.socket | None = None
        self._counts: Counts | None = None
        self._read_at = 0.0

    def counts(self, max_age_s: float = 0.0) -> Counts | None:
        """The requests that wait, by model and version; None where the metrics cannot be read.

        What was read less than `max_age_s` ago is not read again.
        """
        if not self._address:
            return None
        if self._counts is not None and self._clock() - self._read_at < max_age_s:
            return self._counts
        self._counts = self._asked()
        self._read_at = self._clock()
        return self._counts

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _asked(self) -> Counts | None:
        for _ in range(2):  # the server closes a connection that was idle
            try:
                return parsed(self._read())
            except OSError:
                self.close()
        return None

    def _read(self) -> bytes:
        """The page; raises `OSError`, also for an answer that is none of Triton's."""
        if self._connection is None:
            place = urlsplit(f"//{self._address}")
            self._connection = socket.create_connection(
                (place.hostname or "", place.port or 0), timeout=_TIMEOUT_S
            )
        self._connection.sendall(_REQUEST)
        found = b""
        while b"\r\n\r\n" not in found:
            found += _more(self._connection, len(found))
        head, _, page = found.partition(b"\r\n\r\n")
        length = _LENGTH.search(head.replace(b"\r", b""))
        if not head.startswith(b"HTTP/1.1 200 ") or length is None:
            raise OSError("the metrics do not answer with a page")
        while len(page) < int(length[1]):
            page += _more(self._connection, len(page))
        return page


def used_for_s(waiting: int, limit: int, taken: int = 0) -> float:
    """How long a count is used: longer where no more than a quarter of the limit waited, and fewer
    than the limit were taken since.
    """
    return CALM_S if CALM_SHARE * waiting <= limit and taken < limit else FRESH_S


def _more(connection: socket.socket, received: int) -> bytes:
    data = connection.recv(65536)
    if not data or received > _LONGEST_BYTES:
        raise OSError("the metrics end within a page")
    return data


def parsed(page: bytes) -> Counts:
    """The counts of a page of metrics."""
    start = max(0, page.find(_FAMILY))
    end = page.find(b"\n#", start)  # the lines of a metric follow each other
    return {
        (model.decode(), version.decode()): int(count)
        for model, version, count in _LINE.findall(page, start, len(page) if end < 0 else end)
    }
