"""Queue bound: how many requests wait for a model, and for how long, before others are rejected.

Without a bound, a server that gets more than it can do answers everything too late: the queue only
grows. With one, it answers what it can, and rejects the rest at once as UNAVAILABLE, which a client
may send again. The bound follows from the measured latency s of one image on n instances:

    wait      max(4·s, 100 ms)     what a client hardly notices, and what smooths bursts
    requests  wait · n / s         the queue that is worked off in that time; at least a full batch
                                   per instance where the model merges requests on a GPU
    timeout   max(10·wait, 10 s)   of a queue that is not worked off, as when a backend stands still

Reference: triton-inference-server/common, protobuf/model_config.proto, ModelQueuePolicy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import model_config_pb2

_WAIT_LATENCIES, _SHORTEST_WAIT_MS = 4, 100.0
_TIMEOUT_WAITS, _SHORTEST_TIMEOUT_MS = 10, 10_000.0
_NEVER_MS = 86_400_000.0
_MOST_REQUESTS = 1 << 16
DECODING_REQUESTS = 4  # per core, of images to be decoded


@dataclass(frozen=True)
class QueueBound:
    """At most `requests` wait, each for at most `timeout_ms`; 0 is no bound.

    With either of them, a request may state a shorter timeout of its own.
    """

    requests: int = 0
    timeout_ms: float = 0.0

    def of(self, *, requests: int | None, timeout_ms: float | None) -> QueueBound:
        """The same with what a user chose instead; None chooses nothing."""
        return QueueBound(
            self.requests if requests is None else requests,
            self.timeout_ms if timeout_ms is None else timeout_ms,
        )

    def of_decoding(self, cores: int, *, requests_per_image: int = 1) -> QueueBound:
        """What waits to be decoded: no more than the network takes, for the cores are the same."""
        if not self.requests:
            return self
        images = max(1, self.requests // requests_per_image)
        return QueueBound(min(images, DECODING_REQUESTS * cores), self.timeout_ms)

    def write(self, config: Any) -> None:
        """Write it into a configuration; only dynamic batching has a queue policy."""
        if not (self.requests or self.timeout_ms) or not config.HasField("dynamic_batching"):
            return
        policy = config.dynamic_batching.default_queue_policy
        policy.timeout_action = model_config_pb2.ModelQueuePolicy.REJECT
        policy.max_queue_size = self.requests
        # A request may state a shorter one: Triton heeds none that is not shorter than this.
        policy.default_timeout_microseconds = round(1000 * (self.timeout_ms or _NEVER_MS))
        policy.allow_timeout_override = True


UNBOUNDED = QueueBound()


def of_latency(latency_ms: float | None, *, instances: int, batch_size: int = 1) -> QueueBound:
    """The bound of a model whose runs of one image take so long.

    `batch_size` is the largest batch that takes about as long as one image, as on a GPU. Where no
    latency was measured, two full batches per instance may wait, without a timeout.
    """
    if latency_ms is None or latency_ms <= 0:
        return QueueBound(2 * instances * batch_size)
    wait_ms = max(_WAIT_LATENCIES * latency_ms, _SHORTEST_WAIT_MS)
    requests = math.ceil(wait_ms / latency_ms * instances)
    return QueueBound(
        min(max(requests, 2 * instances * batch_size), _MOST_REQUESTS),
        round(max(_TIMEOUT_WAITS * wait_ms, _SHORTEST_TIMEOUT_MS)),
    )


def bound_of(config: Any) -> QueueBound:
    """The bound that a configuration has."""
    policy = config.dynamic_batching.default_queue_policy
    timeout_ms = policy.default_timeout_microseconds / 1000
    return QueueBound(policy.max_queue_size, 0.0 if timeout_ms == _NEVER_MS else timeout_ms)
