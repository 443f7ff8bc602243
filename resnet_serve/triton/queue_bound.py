"""Queue bound: how many requests wait for a model, and for how long, before others are rejected.

Without a bound, a server that gets more than it can do answers everything too late: the queue only
grows. With one, it answers what it can, and rejects the rest as UNAVAILABLE, which a client
may send again. Our backends bound their queues themselves (`backends.queue_limit`): with a policy
of Triton's, its batcher sleeps while a lone instance is free. Networks on a GPU, whose backends are
native, have the policy. The bound follows from the measured latency s of one image on n instances:

    wait      max(4·s, 100 ms)     what a client hardly notices, and what smooths bursts
    requests  wait · n / s         the queue that is worked off in that time; at least a full batch
                                   per instance where the model merges requests on a GPU
    timeout   max(10·wait, 10 s)   on a GPU, of a queue that is not worked off
    decoded   requests / 2         of them, before no other image is decoded; the other half waits

Reference: triton-inference-server/common, protobuf/model_config.proto, ModelQueuePolicy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc import model_config_pb2

from resnet_serve.triton.backends.queue_limit import MAX_QUEUE

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

    @property
    def decoded(self) -> int:
        """How many requests of decoded images wait before no other is decoded; 0 for any number."""
        return math.ceil(self.requests / 2)

    @property
    def of_backend(self) -> QueueBound:
        """What a backend of ours bounds itself: it does not see how long a request has waited."""
        return QueueBound(self.requests)

    def of_decoding(self, cores: int, *, requests_per_image: int = 1) -> QueueBound:
        """What waits to be decoded: what the network's bound leaves of the decoded ones."""
        if not self.requests:
            return self
        images = max(1, (self.requests - self.requests // 2) // requests_per_image)
        return QueueBound(min(images, DECODING_REQUESTS * cores), self.timeout_ms)

    def write(self, config: Any, *, by_triton: bool = False) -> None:
        """Write it into a configuration, instead of the bound that is there.

        It is for the backend, unless `by_triton`; a timeout always needs Triton's policy, which
        only dynamic batching has.
        """
        clear(config)
        if not (self.timeout_ms or by_triton):
            if self.requests:
                config.parameters[MAX_QUEUE].string_value = str(self.requests)
            return
        if not (self.requests or self.timeout_ms):
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


def clear(config: Any) -> None:
    """Remove the bound of a configuration, its backend's and Triton's."""
    config.parameters.pop(MAX_QUEUE, None)
    if config.HasField("dynamic_batching"):
        config.dynamic_batching.ClearField("default_queue_policy")


def bound_of(config: Any) -> QueueBound:
    """The bound that a configuration has."""
    if MAX_QUEUE in config.parameters:
        return QueueBound(int(config.parameters[MAX_QUEUE].string_value))
    policy = config.dynamic_batching.default_queue_policy
    timeout_ms = policy.default_timeout_microseconds / 1000
    return QueueBound(policy.max_queue_size, 0.0 if timeout_ms == _NEVER_MS else timeout_ms)
