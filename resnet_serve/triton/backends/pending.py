"""Pending requests: how many wait for a model, as the server's own metrics say.

    nv_inference_pending_request_count{model="net",version="1"} 5

Triton tells a backend nothing of its queue. Its metrics do, over a connection that is kept: about
half a millisecond. The supervisor says where they are; without one, and where they do not answer,
nothing is known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from http.client import HTTPConnection

METRICS_VARIABLE = "RESNET_SERVE_METRICS"  # host:port, in the environment of the server
_TIMEOUT_S = 1.0
_LINE = re.compile(
    rb'^nv_inference_pending_request_count\{model="([^"]+)",version="([^"]+)"[^}]*\} (\d+)', re.M
)

Counts = Mapping[tuple[str, str], int]  # by model and version


class Pending:
    """The metrics of the server at `address`, by default that of this process's supervisor."""

    def __init__(self, address: str | None = None) -> None:
        self._address = os.environ.get(METRICS_VARIABLE, "") if address is None else address
        self._connection: HTTPConnection | None = None

    def counts(self) -> Counts | None:
        """The requests that wait, by model and version; None where the metrics cannot be read."""
        if not self._address:
            return None
        # Commands that only need the names of parameters do not wait for its import.
        from http.client import HTTPException

        for _ in range(2):  # the server closes a connection that was idle
            try:
                return parsed(self._read())
            except (OSError, HTTPException):
                self.close()
        return None

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self) -> bytes:
        from http.client import HTTPConnection

        if self._connection is None:
            self._connection = HTTPConnection(self._address, timeout=_TIMEOUT_S)
        self._connection.request("GET", "/metrics")
        return self._connection.getresponse().read()


def parsed(page: bytes) -> Counts:
    """The counts of a page of metrics."""
    return {
        (model.decode(), version.decode()): int(count)
        for model, version, count in _LINE.findall(page)
    }
