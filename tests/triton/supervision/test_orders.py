"""Orders survive the pipe."""

from __future__ import annotations

from resnet_serve.triton.supervision.endpoints import Endpoints
from resnet_serve.triton.supervision.orders import Orders, Policy


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
