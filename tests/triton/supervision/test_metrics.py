"""The metrics of a supervisor, as Prometheus reads them."""

from __future__ import annotations

import socket
import urllib.request

import pytest
from prometheus_text import samples

from resnet_serve import prometheus
from resnet_serve.triton.supervision import metrics
from resnet_serve.triton.supervision.endpoints import Endpoints, claim_ports
from resnet_serve.triton.supervision.status import RESTARTING, SERVING, Status

COUNTED = {("net", "queue_full"): 7}


def test_what_is_counted() -> None:
    status = Status(SERVING, 7, restarts=3, recovery_s=4.5, check_failures=2)
    text = prometheus.text(metrics.families(status, {"net": ("9", "10"), "new": ()}, COUNTED))
    assert samples(text) == {
        "resnet_serve_up": 1,
        "resnet_serve_restarts_total": 3,
        "resnet_serve_health_check_failures_total": 2,
        "resnet_serve_dead_backend_processes_total": 0,
        "resnet_serve_recovery_seconds": 4.5,
        'resnet_serve_served_version{model="net"}': 10,
        'resnet_serve_requests_total{model="net",status="queue_full"}': 7,
    }
    found = samples(prometheus.text(metrics.families(Status(RESTARTING), {}, {})))
    assert found["resnet_serve_up"] == 0


def test_a_scrape_sees_the_status_of_now_also_without_a_server() -> None:
    now = [Status()]
    _, (port, *nobody) = claim_ports("127.0.0.1", 0)
    endpoints = Endpoints("127.0.0.1", nobody[0], 0, 0, server_id="gone", key="")
    metrics.serve(endpoints, port, lambda: now[0], {})

    def scrape() -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as response:
            return samples(response.read().decode())

    assert scrape()["resnet_serve_restarts_total"] == 0
    now[0] = Status(SERVING, restarts=1)
    assert scrape()["resnet_serve_restarts_total"] == 1


def test_a_taken_port() -> None:
    endpoints = Endpoints("127.0.0.1", 0, 0, 0, server_id="none", key="")
    refused = pytest.raises(metrics.MetricsPortError, match="in use")
    with socket.create_server(("127.0.0.1", 0)) as taken, refused:
        metrics.serve(endpoints, taken.getsockname()[1], Status, {})
