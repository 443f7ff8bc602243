"""Live: what Triton's metrics say now of each model, for the tiles of the page.

Triton counts from its start; the page takes rates from two readings. The names are those of
docs/monitoring.md. Reference: triton-inference-server/server, docs/user_guide/metrics.md.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import re
import threading
import time
from collections import defaultdict

from resnet_serve.errors import UnavailableError
from resnet_serve.web.messages import Counters, Live
from resnet_serve.web.places import Places

_SAMPLE = re.compile(r'^(nv_inference_\w+)\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\} (\S+)$', re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_TIMEOUT_S = 2.0
_KEPT_S = 0.5
_MOST_BYTES = 16 << 20
_SUMMARY = "nv_inference_request_summary_us"


class Meter:
    """Reads the metrics of a server, at most twice a second however many pages ask."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._lock = threading.Lock()
        self._last = Live(at_s=-math.inf, models={})

    def read(self) -> Live:
        """The counters now; raises `UnavailableError` where no metrics can be read."""
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._last.at_s >= _KEPT_S:
                text = _scrape(self._places.address().metrics)
                self._last = Live(at_s=now_s, models=counters(text))
            return self._last


def _scrape(address: str | None) -> str:
    if address is None:
        raise UnavailableError(
            "the address of the server's metrics is not known",
            remedy="Start the web application with --metrics HOST:PORT.",
        )
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read(_MOST_BYTES).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(
                f"no metrics are served at {address} ({error or type(error).__name__})"
            ) from error


def counters(text: str) -> dict[str, Counters]:
    """The counters of each model, of all its versions together, from Prometheus' text format."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    slowest: dict[str, float] = {}
    for name, labels, value in _SAMPLE.findall(text):
        found, number = dict(_LABEL.findall(labels)), float(value)
        model = found.get("model", "")
        if name == _SUMMARY and found.get("quantile") == "0.99" and math.isfinite(number):
            slowest[model] = max(number / 1000, slowest.get(model, 0.0))
        elif name == "nv_inference_request_failure":
            kind = "rejected" if found.get("reason") == "REJECTED" else "failed"
            sums[model][kind] += number
        elif name in _COUNTED:
            sums[model][_COUNTED[name]] += number
    return {
        model: Counters(
            images=each["images"],
            waiting=each["waiting"],
            rejected=each["rejected"],
            failed=each["failed"],
            p99_ms=slowest.get(model),
        )
        for model, each in sums.items()
    }


_COUNTED = {"nv_inference_count": "images", "nv_inference_pending_request_count": "waiting"}
