"""What the supervisor knows, for Prometheus: Triton's own metrics end with the server.

`GET /metrics` at the port of `up --status-port`, also while the server is being restarted. The
versions are asked of the server at every scrape, and left out while it does not answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from resnet_serve import prometheus
from resnet_serve.errors import HostError
from resnet_serve.prometheus import Family, counter, gauge
from resnet_serve.triton.supervision.endpoints import Endpoints
from resnet_serve.triton.supervision.status import SERVING, Status

# The requests of the access log by model and status.
Requests = Mapping[tuple[str, str], int]


def families(
    status: Status, models: Mapping[str, Sequence[str]], requests: Requests
) -> Iterator[Family]:
    """The metrics of this status, and of these models with their versions, oldest first."""
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


def serve(endpoints: Endpoints, port: int, now: Callable[[], Status], requests: Requests) -> None:
    """Answer scrapes in a thread as long as this process lives; raises `MetricsPortError`."""

    def text() -> str:
        status, models = now(), dict[str, tuple[str, ...]]()
        if status.state == SERVING:
            # It may end, or stand still, at this moment.
            with contextlib.suppress(HostError, ValueError, KeyError):
                models = endpoints.models()
        return prometheus.text(families(status, models, requests))

    try:
        prometheus.serve(endpoints.address, port, text)
    except OSError as error:
        raise MetricsPortError(port, (error.strerror or str(error)).lower()) from error
