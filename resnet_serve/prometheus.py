"""Metrics in Prometheus' text format: written from values, and served to scrapes.

Used for what Triton's own endpoint cannot tell: by a supervisor, and by `verify --watch`.
Format: https://prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4.
"""

from __future__ import annotations

import http.server
import math
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels: TypeAlias = tuple[tuple[str, str], ...]
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True)
class Family:
    """A metric: its help, its kind, and a value for each set of labels."""

    name: str
    kind: Literal["counter", "gauge"]
    what: str
    values: Mapping[Labels, float] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"# HELP {self.name} {self.what}", f"# TYPE {self.name} {self.kind}"]
        for labels, value in self.values.items():
            inside = ",".join(f'{key}="{text.translate(_ESCAPED)}"' for key, text in labels)
            lines.append(f"{self.name}{inside and f'{{{inside}}}'} {_number(value)}")
        return "".join(f"{line}\n" for line in lines)


def gauge(name: str, what: str, value: float, **labels: str) -> Family:
    """A value that goes up and down."""
    return Family(name, "gauge", what, {tuple(labels.items()): value})


def counter(name: str, what: str, value: float, **labels: str) -> Family:
    """A value that only goes up."""
    return Family(name, "counter", what, {tuple(labels.items()): value})


def text(families: Iterable[Family]) -> str:
    """All of them in Prometheus' text format; those without a value are left out."""
    return "".join(str(family) for family in families if family.values)


def _number(value: float) -> str:
    """Whole numbers as they are: `1e+09` would be a rounded timestamp."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def serve(address: str, port: int, now: Callable[[], str]) -> int:
    """Answer scrapes of /metrics in a thread as long as this process lives; returns the port.

    Port 0 is any free one. Raises `OSError` for a port that cannot be had.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 10  # of a client that sends nothing

        def do_GET(self) -> None:
            found = self.path.partition("?")[0] == "/metrics"
            body = now().encode() if found else b"see /metrics\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Scrapes are not logged."""

    class Listener(http.server.ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

    listener = Listener((address, port), Handler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    return int(listener.server_address[1])
