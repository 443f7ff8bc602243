"""Orders survive the pipe."""

from __future__ import annotations

import pytest

from resnet_serve.errors import HostError
from resnet_serve.triton.supervision.endpoints import Endpoints
from resnet_serve.triton.supervision.metrics import MetricsPortError
from resnet_serve.triton.supervision.orders import Orders, Policy, refusal, refused


def test_orders_are_one_line_and_come_back() -> None:
    orders = Orders(
        command=["tritonserver", "--id=a\nb"],
        environment={"PATH": "/bin"},
        directory="/tmp",
        scratch="/tmp/x",
        shm_prefix="x_",
        endpoints=Endpoints("127.0.0.1", 1, 2, 3, "server", "key"),
        log="/tmp/log",
        policy=Policy(most_quick=2),
    )
    line = orders.to_line()
    assert line.count(b"\n") == 1
    assert Orders.from_line(line) == orders


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            MetricsPortError(8003, "address already in use"),
            "port 8003 of the metrics: address already in use. Give --status-port a free port, or "
            "0 for none.",
        ),
        (
            HostError("port\nis in what it says", where="a: b", remedy="Do this."),
            "a: b: port is in what it says. Do this.",
        ),
        (
            PermissionError(13, "Permission denied", "port 80/log"),
            "tritonserver: cannot be started (port 80/log: permission denied)",
        ),
        (
            FileNotFoundError("no such program"),
            "tritonserver: cannot be started (no such program)",
        ),
    ],
)
def test_a_refusal_comes_back_as_its_error(error: HostError | OSError, said: str) -> None:
    reply = refusal(error, "tritonserver")
    assert reply.isprintable()
    assert not reply.isdigit()
    assert str(refused(reply, "tritonserver")) == said


def test_a_supervisor_that_says_nothing() -> None:
    assert "its supervisor did not start" in str(refused("", "tritonserver"))
