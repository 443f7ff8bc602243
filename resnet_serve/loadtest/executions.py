"""Executions: how long the batches took that a server ran meanwhile, by their size.

    with executions.watch(url, model) as watched:      # asks for the statistics ten times a second
        …
    watched.executed()

Triton counts batches and their time by size, from the moment when an instance has the requests to
that when it has their outputs. The mean of a size is over all of its batches; its deviation is
estimated from the means m of the intervals of n batches each, Σ n (m − mean)² / (intervals − 1),
which holds for any n where the times are independent.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tritonclient.utils import InferenceServerException

from resnet_serve.passport.facts import Facts
from resnet_serve.triton import queue_bound
from resnet_serve.triton.backends.elastic import ONE_PER_CORE_BELOW
from resnet_serve.triton.backends.image.room import DECODED_WAIT
from resnet_serve.triton.backends.queue_limit import MAX_QUEUE
from resnet_serve.triton.client_tls import ClientTls
from resnet_serve.triton.grpc_client import GrpcClient

_INTERVAL_S = 0.1
_TIMEOUT_S = 10.0
_OF_INSTANCE, _OF_ALL = "intra_op_thread_count", "INFERENCE_NUM_THREADS"  # of threads
_BUSY_SHARE = 0.5  # of the median: the first and the last interval with so many executions


@dataclass(frozen=True, kw_only=True)
class BatchTimes(Facts):
    """`executions` batches of `batch_size` images: mean and deviation of their time.

    `deviation_ms` is None where fewer than two intervals had such a batch.
    """

    batch_size: int
    executions: int
    mean_ms: float
    deviation_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Executed(Facts):
    """What one model ran during a load: its batches by size.

    `busy` is the share of the time in which its instances ran them, without the start and the end
    of the load; `cycle_ms` the time of an instance per batch, its pauses included.
    """

    model: str
    batches: tuple[BatchTimes, ...]
    busy: float | None = None
    cycle_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Served(Facts):
    """How a server runs one model: what decides which requests wait, and which share a batch.

    `queue_requests` and `queue_timeout_ms` bound the queue; 0 is no bound. With `rejects_oldest`
    the backend keeps the bound, when it gets a batch, else Triton does when a request comes.
    `threads` is 0 where the configuration does not say it. A model that decodes does not while
    `decoded_wait` requests wait for the network behind it; 0 is any number.
    """

    model: str
    instances: int
    max_batch_size: int
    delay_ms: float = 0.0
    preferred_batch_sizes: tuple[int, ...] = ()
    queue_requests: int = 0
    queue_timeout_ms: float = 0.0
    rejects_oldest: bool = False
    merges: bool = True
    threads: int = 0
    one_per_core_below: int = 0
    decoded_wait: int = 0

    @classmethod
    def of(cls, config: Any) -> Served:
        """As a configuration (ModelConfig) says it."""
        batching = config.dynamic_batching
        bound = queue_bound.bound_of(config)
        instances = sum(group.count for group in config.instance_group) or 1
        return cls(
            model=config.name,
            instances=instances,
            max_batch_size=max(1, config.max_batch_size),
            delay_ms=batching.max_queue_delay_microseconds / 1000,
            preferred_batch_sizes=tuple(batching.preferred_batch_size),
            queue_requests=bound.requests,
            queue_timeout_ms=bound.timeout_ms,
            rejects_oldest=MAX_QUEUE in config.parameters,
            merges=config.HasField("dynamic_batching"),
            threads=_number(config, _OF_INSTANCE) or _number(config, _OF_ALL) // instances,
            one_per_core_below=_number(config, ONE_PER_CORE_BELOW),
            decoded_wait=_number(config, DECODED_WAIT),
        )


def _number(config: Any, key: str) -> int:
    if key not in config.parameters:
        return 0
    text = config.parameters[key].string_value
    return int(text) if text.isascii() and text.isdigit() else 0


def served(url: str, model: str, tls: ClientTls | None = None) -> tuple[Served, ...]:
    """The models that requests to `model` pass, in this order; none where some are passed at once.

    That of an image ensemble are its decoder and its network. Raises the client's error.
    """
    with GrpcClient(url, tls) as client:
        config = client.get_model_config(model, client_timeout=_TIMEOUT_S).config
        if not config.ensemble_scheduling.step:
            return (Served.of(config),)
        steps = config.ensemble_scheduling.step
        parts = [
            client.get_model_config(step.model_name, client_timeout=_TIMEOUT_S).config
            for step in steps
        ]
    nested = any(part.ensemble_scheduling.step for part in parts)
    if nested or not _in_turn(steps):
        return ()
    return tuple(Served.of(part) for part in parts)


def _in_turn(steps: Sequence[Any]) -> bool:
    """Whether each step takes only what the one before it gives."""
    pairs = itertools.pairwise(steps)
    return all(
        set(after.input_map.values()) <= set(before.output_map.values()) for before, after in pairs
    )


@dataclass(frozen=True)
class Count:
    """What a server has counted of one model by now: batches, and their nanoseconds, by size."""

    moment_s: float
    batches: Mapping[int, int]
    computed_ns: Mapping[int, int]


def counted(statistics: Any) -> Count:
    """The count in the statistics of a model."""
    rows = {int(row.batch_size): row for row in statistics.batch_stats}
    return Count(
        time.monotonic(),
        {size: int(row.compute_infer.count) for size, row in rows.items()},
        {
            size: int(row.compute_input.ns + row.compute_infer.ns + row.compute_output.ns)
            for size, row in rows.items()
        },
    )


def executed(model: str, counts: Sequence[Count], instances: int = 1) -> Executed:
    """What a model ran between the first and the last of the counts."""
    intervals = [_Interval.between(*pair) for pair in itertools.pairwise(counts)]
    sizes = sorted({size for each in intervals for size, n in each.batches.items() if n})
    busy, cycle_ms = _pace(intervals, instances)
    return Executed(
        model=model,
        batches=tuple(_times(size, intervals) for size in sizes),
        busy=busy,
        cycle_ms=cycle_ms,
    )


@dataclass(frozen=True)
class _Interval:
    seconds: float
    batches: Mapping[int, int]
    computed_ns: Mapping[int, int]

    @classmethod
    def between(cls, before: Count, after: Count) -> _Interval:
        return cls(
            after.moment_s - before.moment_s,
            {size: n - before.batches.get(size, 0) for size, n in after.batches.items()},
            {size: ns - before.computed_ns.get(size, 0) for size, ns in after.computed_ns.items()},
        )

    @property
    def executions(self) -> int:
        return sum(self.batches.values())


def _times(size: int, intervals: Sequence[_Interval]) -> BatchTimes:
    rows = [
        (each.batches[size], each.computed_ns[size] / 1e6)
        for each in intervals
        if each.batches.get(size, 0) > 0
    ]
    executions = sum(n for n, _ in rows)
    mean_ms = sum(ms for _, ms in rows) / executions
    deviation_ms = None
    if len(rows) > 1:
        squares = sum(n * (ms / n - mean_ms) ** 2 for n, ms in rows)
        deviation_ms = math.sqrt(squares / (len(rows) - 1))
    return BatchTimes(
        batch_size=size, executions=executions, mean_ms=mean_ms, deviation_ms=deviation_ms
    )


def _pace(intervals: Sequence[_Interval], instances: int) -> tuple[float | None, float | None]:
    """The busy share, and the milliseconds of an instance per batch; without start and end."""
    some = sorted(each.executions for each in intervals if each.executions)
    if len(some) < 3:
        return None, None
    least = _BUSY_SHARE * some[len(some) // 2]
    active = [at for at, each in enumerate(intervals) if each.executions >= least]
    inner = intervals[active[0] : active[-1] + 1]
    seconds = instances * sum(each.seconds for each in inner)
    executions = sum(each.executions for each in inner)
    computed_s = sum(sum(each.computed_ns.values()) for each in inner) / 1e9
    return min(1.0, computed_s / seconds), 1000 * seconds / executions


class Watched:
    """The statistics of models on one server, asked for while the block runs."""

    def __init__(self, url: str, models: Mapping[str, int], tls: ClientTls | None = None) -> None:
        self._url, self._tls, self._instances = url, tls, dict(models)
        self._counts: dict[str, list[Count]] = {model: [] for model in models}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._client = GrpcClient(self._url, self._tls)
        self._ask()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._ask()
        self._client.close()

    def executed(self) -> tuple[Executed, ...]:
        """What each model ran, in the order in which they were given."""
        return tuple(
            executed(model, counts, self._instances[model])
            for model, counts in self._counts.items()
        )

    def _watch(self) -> None:
        while not self._ended.wait(_INTERVAL_S):
            self._ask()

    def _ask(self) -> None:
        """One count of each; a server that does not answer is for the load itself to report."""
        try:
            for model, counts in self._counts.items():
                found = self._client.get_inference_statistics(model, client_timeout=_TIMEOUT_S)
                counts.append(counted(found.model_stats[0]))
        except InferenceServerException:
            return


def watch(url: str, models: Sequence[Served], tls: ClientTls | None = None) -> Watched:
    """Watch what these models run on the server at `url` while a block runs."""
    return Watched(url, {each.model: each.instances for each in models}, tls)
