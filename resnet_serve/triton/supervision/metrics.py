"""What the supervisor knows, for Prometheus: Triton's own metrics end with the server.

`GET /metrics` at the port of `up --status-port`, also while the server is being restarted.
"""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable
from typing import Any

from resnet_serve.triton.supervision.status import SERVING, Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(status: Status) -> str:
    """The status in Prometheus' text format."""
    rows: list[tuple[str, str, str, float]] = [
        ("up", "gauge", "Whether the server serves.", status.state == SERVING),
        ("restarts_total", "counter", "Restarts of the server.", status.restarts),
        (
            "canary_failures_total",
            "counter",
            "Canary requests that failed.",
            status.canary_failures,
        ),
        (
            "dead_backend_processes_total",
            "counter",
            "Backend processes that died.",
            status.dead_stubs,
        ),
    ]
    if status.recovery_s is not None:
        what = "Time of the last restart, from the end to ready."
        rows.append(("recovery_seconds", "gauge", what, status.recovery_s))
    return "".join(
        f"# HELP resnet_serve_{name} {what}\n"
        f"# TYPE resnet_serve_{name} {kind}\n"
        f"resnet_serve_{name} {float(value):g}\n"
        for name, kind, what, value in rows
    )


def serve(address: str, port: int, now: Callable[[], Status]) -> None:
    """Answer scrapes in a thread as long as this process lives; raises `OSError` for the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 10  # of a client that sends nothing

        def do_GET(self) -> None:
            found = self.path.partition("?")[0] == "/metrics"
            body = exposition(now()).encode() if found else b"see /metrics\n"
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
