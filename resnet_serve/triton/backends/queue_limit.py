"""Queue limit: a backend's own bound of what waits for its model, without Triton's queue policy.

With a queue policy, Triton's batcher waits for a free instance, and is woken just before the
instance counts as free: then it sleeps for half a second, or until another request comes
(`DynamicBatchScheduler::WaitForPayloadSlotAvailable`). Without one it hands over ahead, but holds
any number of requests. So the backend bounds them itself:

    execute(r1 … rn), p others wait  ─►  the oldest p − limit of them are rejected, the rest runs

Only a backend that was busy until just now asks how many wait: every 20 ms, or every 0.2 s where no
more than a quarter of the bound did and less than the bound was handed over since. The rejected
ones have waited about as long as those that are answered. What comes until it asks again is not
guessed: guesses also reject requests that have just been queued, and of an ensemble with ten such
steps that ended Triton 2.51 (a segmentation fault in `TRITONBACKEND_ResponseSend`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from resnet_serve.triton.backends.contract import count_parameter
from resnet_serve.triton.backends.pending import Pending, used_for_s
from resnet_serve.triton.backends.stub import Metric, MetricFamily, Stub

MAX_QUEUE = "max_queue"
METRIC = "resnet_serve_queue_rejected_total"
REJECTED = "Exceeds maximum queue size"  # Triton's own words, which clients know
IDLE_S = 0.02  # a gap between two executes after which nothing had waited


def max_queue(config: Mapping[str, Any]) -> int:
    """The parameter of a configuration; 0, no bound, where it has none.

    Raises `ContractError` for what is no number.
    """
    return count_parameter(config, MAX_QUEUE)


class QueueLimit:
    """The bound of one version of a model: at most `limit` requests wait, 0 for any number.

    Each of its `instances` asks for itself, and rejects its share of what is too much.
    """

    def __init__(
        self,
        limit: int,
        model: str,
        version: str,
        *,
        instances: int = 1,
        pending: Pending | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._key, self._instances = limit, (model, version), instances
        self._pending = Pending() if pending is None else pending
        self._clock = clock
        self._ended = -math.inf
        self._asked = -math.inf
        self._counted, self._taken = 0, 0  # that waited then, and that were handed over since
        self._family: MetricFamily | None = None
        self._metric: Metric | None = None

    @classmethod
    def of(
        cls, config: Mapping[str, Any], version: str, pending: Pending | None = None
    ) -> QueueLimit:
        """The bound of a configuration, whose instances are those of all its groups."""
        groups = config.get("instance_group") or [{}]
        instances = sum(int(group.get("count", 1)) for group in groups)
        limit, name = max_queue(config), config["name"]
        return cls(limit, name, version, instances=max(1, instances), pending=pending)

    def counted(self, stub: Stub) -> QueueLimit:
        """The same, whose rejections are in the server's metrics, where those are turned on."""
        if self._limit:
            model, version = self._key
            try:
                # The family has to live as long as its metric.
                self._family = stub.MetricFamily(
                    name=METRIC,
                    description="Requests that were rejected because too many waited",
                    kind=stub.MetricFamily.COUNTER,
                )
                self._metric = self._family.Metric(labels={"model": model, "version": version})
            except stub.TritonModelException as error:
                stub.Logger.log_warn(f"{model}: its rejections are not counted ({error})")
        return self

    def excess(self, requests: int) -> int:
        """How many of these requests, the oldest, are to be rejected; `done` ends their run."""
        now = self._clock()
        if not self._limit or now - self._ended > IDLE_S:
            self._asked = -math.inf
            return 0
        self._taken += requests
        if now - self._asked >= used_for_s(self._counted, self._limit, self._taken):
            counts = self._pending.counts()
            self._counted = 0 if counts is None else counts.get(self._key, 0)
            self._asked, self._taken = self._clock(), 0
        too_many = max(0, self._counted - self._taken - self._limit)
        found = min(requests, math.ceil(too_many / self._instances))
        if found and self._metric is not None:
            self._metric.increment(found)
        return found

    def done(self) -> None:
        """An execute returns."""
        self._ended = self._clock()

    def close(self) -> None:
        """Close the connection to the metrics."""
        self._pending.close()
