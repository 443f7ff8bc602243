"""The metrics of a supervisor, as Prometheus reads them."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

import pytest
from prometheus_text import samples

from resnet_serve.triton.supervision import metrics
from resnet_serve.triton.supervision.endpoints import claim_ports
from resnet_serve.triton.supervision.status import RESTARTING, SERVING, Status


def test_what_is_counted() -> None:
    text = metrics.exposition(Status(SERVING, 7, restarts=3, recovery_s=4.5, canary_failures=2))
    assert samples(text) == {
        "resnet_serve_up": 1,
        "resnet_serve_restarts_total": 3,
        "resnet_serve_canary_failures_total": 2,
        "resnet_serve_dead_backend_processes_total": 0,
        "resnet_serve_recovery_seconds": 4.5,
    }
    assert samples(metrics.exposition(Status(RESTARTING)))["resnet_serve_up"] == 0


def test_a_scrape_sees_the_status_of_now() -> None:
    now = [Status()]
    _, (port, _, _) = claim_ports("127.0.0.1", 0)
    metrics.serve("127.0.0.1", port, lambda: now[0])

    def scrape(path: str = "/metrics") -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
            assert response.headers["Content-Type"] == metrics.CONTENT_TYPE
            return str(response.read().decode())

    assert samples(scrape())["resnet_serve_restarts_total"] == 0
    now[0] = Status(SERVING, restarts=1)
    assert samples(scrape())["resnet_serve_restarts_total"] == 1
    with pytest.raises(urllib.error.HTTPError, match="404"):
        scrape("/secrets")


def test_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        metrics.serve("127.0.0.1", taken.getsockname()[1], Status)
