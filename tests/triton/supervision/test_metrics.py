"""The metrics of a supervisor, as Prometheus reads them."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from certificates import make
from prometheus_text import samples, scrape

from resnet_serve import prometheus
from resnet_serve.triton.supervision import metrics
from resnet_serve.triton.supervision.endpoints import Endpoints, claim_ports
from resnet_serve.triton.supervision.orders import Orders
from resnet_serve.triton.supervision.status import RESTARTING, SERVING, Status

COUNTED = {("net", "queue_full"): 7}
FILES = (("cert", "server.pem"), ("key", "server.key"))


def ordered(endpoints: Endpoints, port: int, *words: str) -> Orders:
    """Orders for a server that nobody starts."""
    command = ["tritonserver", *words]
    return Orders(command, {}, "/", "/none", "none_", endpoints, status_port=port)


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
    metrics.serve(ordered(endpoints, port), lambda: now[0], {})

    at = f"127.0.0.1:{port}"
    assert scrape(at)["resnet_serve_restarts_total"] == 0
    now[0] = Status(SERVING, restarts=1)
    assert scrape(at)["resnet_serve_restarts_total"] == 1


def test_a_taken_port() -> None:
    endpoints = Endpoints("127.0.0.1", 0, 0, 0, server_id="none", key="")
    refused = pytest.raises(metrics.MetricsPortError, match="in use")
    with socket.create_server(("127.0.0.1", 0)) as taken, refused:
        metrics.serve(ordered(endpoints, taken.getsockname()[1]), Status, {})


def test_when_the_certificate_expires_that_the_server_has_read(tmp_path: Path) -> None:
    """One that was renewed since is served after the next start only."""
    make(tmp_path)
    _, (port, *nobody) = claim_ports("127.0.0.1", 0)
    endpoints = Endpoints("127.0.0.1", nobody[0], 0, 0, server_id="gone", key="")
    words = [f"--grpc-server-{kind[0]}={tmp_path / kind[1]}" for kind in FILES]
    now = [Status()]
    metrics.serve(ordered(endpoints, port, *words), lambda: now[0], {})
    name = "resnet_serve_certificate_expiry_timestamp_seconds"
    days = (scrape(f"127.0.0.1:{port}")[name] - time.time()) / 86400
    assert 3648 < days <= 3650
    (tmp_path / "server.pem").unlink()
    assert name in scrape(f"127.0.0.1:{port}")
    now[0] = Status(restarts=1)
    assert name not in scrape(f"127.0.0.1:{port}")
