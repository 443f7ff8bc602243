"""What the supervisor knows, for Prometheus: Triton's own metrics end with the server.

`GET /metrics` at the port of `up --status-port`, also while the server is being restarted. The
versions are asked of the server at every scrape, and left out while it does not answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

from resnet_serve import prometheus
from resnet_serve.errors import HostError
from resnet_serve.prometheus import Family, counter, gauge
from resnet_serve.triton.supervision import transport
from resnet_serve.triton.supervision.orders import Orders
from resnet_serve.triton.supervision.status import SERVING, Status

# The requests of the access log by model and status.
Requests = Mapping[tuple[str, str], int]


def families(
    status: Status,
    models: Mapping[str, Sequence[str]],
    requests: Requests,
    expiry: float | None = None,
) -> Iterator[Family]:
    """The metrics of this status, and of these models with their versions, oldest first.

    `expiry` is when the server's certificate expires, in Unix time, if it has one.
    """
    yield gauge("resnet_serve_up", "Whether the server serves.", status.state == SERVING)
    yield counter("resnet_serve_restarts_total", "Restarts of the server.", status.restarts)
    yield counter(
        "resnet_serve_health_check_failures_total",
        "Health checks that failed.",
        status.check_failures,
    )
    yield counter(
        "resnet_serve_dead_backend_processes_total",
        "Backend processes that died.",
        status.dead_stubs,
    )
    if status.recovery_s is not None:
        what = "Time of the last restart, from the end to ready."
        yield gauge("resnet_serve_recovery_seconds", what, status.recovery_s)
    if expiry is not None:
        what = "When the certificate of gRPC expires."
        yield gauge("resnet_serve_certificate_expiry_timestamp_seconds", what, expiry)
    yield Family(
        "resnet_serve_served_version",
        "gauge",
        "The version of a model that requests get, the highest one that is loaded.",
        {
            (("model", name),): float(versions[-1])
            for name, versions in models.items()
            if versions and versions[-1].isdigit()
        },
    )
    yield Family(
        "resnet_serve_requests_total",
        "counter",
        "Requests of the access log.",
        {
            (("model", model), ("status", how)): float(count)
            for (model, how), count in dict(requests).items()
        },
    )


class MetricsPortError(HostError):
    """The port of these metrics cannot be had: `up --status-port` has to name another one."""

    def __init__(self, port: int, why: str) -> None:
        super().__init__(
            f"port {port} of the metrics: {why}",
            remedy="Give --status-port a free port, or 0 for none.",
        )


def serve(orders: Orders, now: Callable[[], Status], requests: Requests) -> None:
    """Answer scrapes in a thread as long as this process lives; raises `MetricsPortError`.

    Without a port or a server that can be asked it does nothing.
    """
    endpoints = orders.endpoints
    if endpoints is None or not orders.status_port:
        return
    # Triton reads its certificate when it starts.
    expiry = lru_cache(1)(lambda _restarts: transport.expiry(orders.command))
    expiry(0)

    def text() -> str:
        status, models = now(), dict[str, tuple[str, ...]]()
        if status.state == SERVING:
            # It may end, or stand still, at this moment.
            with contextlib.suppress(HostError, ValueError, KeyError):
                models = endpoints.models()
        return prometheus.text(families(status, models, requests, expiry(status.restarts)))

    try:
        prometheus.serve(endpoints.address, orders.status_port, text)
    except OSError as error:
        raise MetricsPortError(
            orders.status_port, (error.strerror or str(error)).lower()
        ) from error
