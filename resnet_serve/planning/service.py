"""Service times: how long a batch of each size takes, from what was measured of some sizes.

    measured                     its mean and deviation over all loads
    divided among the threads    as many rounds of one image per thread as it has, then the rest
    between two measured sizes   on the straight line between them
    larger than any              not known: the batch is limited to the largest that was measured

The time of a single batch is drawn from the gamma distribution with the mean and the deviation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from resnet_serve.loadtest.executions import BatchTimes, Executed, Served
from resnet_serve.triton.backends.elastic import on_single_cores

_FEW = 5  # executions; the mean of fewer says little
_SATURATED = 0.85  # of the time: its pauses are those between a batch and the next
# Of the batches that end while requests wait, under a queue policy of Triton's: its batcher misses
# that an instance became free, and looks again after half a second or when another request comes.
# Measured in docs/overload.md: 83 and 96 of 3,000, four at a time on two busy cores.
MISSED = 0.03


@dataclass(frozen=True)
class Station:
    """One model of a replica: times in seconds of batches of 1, 2, … images.

    `pause_s` passes between a batch and the next on the same instance. `queue` requests may wait,
    each for `timeout_s`; 0 is no bound. With `rejects_oldest` a batch that leaves more behind loses
    its oldest, else a request that finds the queue full is rejected. `missed` is the share of the
    batches after which the next one starts late. None starts while `holds` requests wait for the
    next model; 0 is any number.
    """

    name: str
    instances: int
    mean_s: tuple[float, ...]
    deviation_s: tuple[float, ...]
    delay_s: float = 0.0
    pause_s: float = 0.0
    queue: int = 0
    timeout_s: float = 0.0
    rejects_oldest: bool = False
    missed: float = 0.0
    holds: int = 0

    @property
    def max_batch(self) -> int:
        """The largest batch."""
        return len(self.mean_s)

    @property
    def capacity_per_s(self) -> float:
        """The requests that it does in a second at most."""
        sizes = enumerate(self.mean_s, start=1)
        return self.instances * max(size / (mean + self.pause_s) for size, mean in sizes)

    def faster(self, speed: float) -> Station:
        """The same on a machine that computes `speed` times as fast."""
        return replace(
            self,
            mean_s=tuple(each / speed for each in self.mean_s),
            deviation_s=tuple(each / speed for each in self.deviation_s),
            pause_s=self.pause_s / speed,
        )

    def draws(self, random: np.random.Generator, size: int, count: int) -> list[float]:
        """Times in seconds of `count` batches of one size."""
        mean, deviation = self.mean_s[size - 1], self.deviation_s[size - 1]
        if deviation <= 0:
            return [mean] * count
        shape = (mean / deviation) ** 2
        found: list[float] = random.gamma(shape, mean / shape, count).tolist()
        return found


def station(served: Served, executed: Sequence[Executed]) -> tuple[Station, int]:
    """The station of a model, and the largest batch that its configuration allows.

    `executed` is what it ran under each load. Where larger batches are allowed than were measured,
    its batches end at those. Raises `ValueError` where nothing was measured.
    """
    pooled = pool(row for each in executed for row in each.batches)
    if not pooled:
        raise ValueError("no batches were measured")
    allowed = served.max_batch_size if served.merges else 1
    if served.preferred_batch_sizes:
        allowed = max(served.preferred_batch_sizes)
    largest = max(1, min(allowed, max(pooled)))
    times = [_time(pooled, size, served) for size in range(1, largest + 1)]
    made = Station(
        name=served.model,
        instances=served.instances,
        mean_s=tuple(mean / 1000 for mean, _ in times),
        deviation_s=tuple(deviation / 1000 for _, deviation in times),
        delay_s=served.delay_ms / 1000 if largest > 1 else 0.0,
        pause_s=_pause_ms(executed) / 1000,
        queue=served.queue_requests,
        timeout_s=served.queue_timeout_ms / 1000,
        rejects_oldest=served.rejects_oldest,
        missed=MISSED if _has_policy(served) else 0.0,
        holds=served.decoded_wait,
    )
    return made, allowed


def _has_policy(served: Served) -> bool:
    """Whether the queue has a policy of Triton's."""
    requests = 0 if served.rejects_oldest else served.queue_requests
    return requests > 0 or served.queue_timeout_ms > 0


def pool(rows: Iterable[BatchTimes]) -> dict[int, tuple[float, float]]:
    """Mean and deviation in milliseconds by batch size, over all loads, weighted by executions."""
    of_size: dict[int, list[BatchTimes]] = {}
    for row in rows:
        if row.executions > 0:
            of_size.setdefault(row.batch_size, []).append(row)
    often = {
        size: each for size, each in of_size.items() if sum(row.executions for row in each) >= _FEW
    }
    return {size: _pooled(each) for size, each in sorted((often or of_size).items())}


def _pooled(rows: Sequence[BatchTimes]) -> tuple[float, float]:
    count = sum(row.executions for row in rows)
    mean = sum(row.executions * row.mean_ms for row in rows) / count
    squares = sum(
        row.executions * ((row.deviation_ms or 0.0) ** 2 + (row.mean_ms - mean) ** 2)
        for row in rows
    )
    return mean, math.sqrt(squares / count)


def _time(
    pooled: Mapping[int, tuple[float, float]], size: int, served: Served
) -> tuple[float, float]:
    """Mean and deviation in milliseconds of one size, which is at most the largest measured."""
    if size in pooled:
        return pooled[size]
    cores = served.threads
    alone = on_single_cores(size, cores=cores, below=served.one_per_core_below)
    rest = size - alone
    if alone and cores in pooled and (not rest or rest in pooled):
        rounds = alone // cores
        mean, deviation = pooled[cores]
        rest_mean, rest_deviation = pooled[rest] if rest else (0.0, 0.0)
        return rounds * mean + rest_mean, math.hypot(math.sqrt(rounds) * deviation, rest_deviation)
    before = max((each for each in pooled if each < size), default=None)
    after = min(each for each in pooled if each > size)
    if before is None:  # as slow as the smallest batch that was measured
        return pooled[after]
    share = (size - before) / (after - before)
    (mean_a, deviation_a), (mean_b, deviation_b) = pooled[before], pooled[after]
    return (
        mean_a + share * (mean_b - mean_a),
        deviation_a + share * (deviation_b - deviation_a),
    )


def _pause_ms(executed: Sequence[Executed]) -> float:
    """What an instance needs between two batches, from the loads that kept it busy; else 0."""
    pauses = []
    for each in executed:
        if each.busy is None or each.cycle_ms is None or each.busy < _SATURATED:
            continue
        pauses.append((1 - each.busy) * each.cycle_ms)
    return min(pauses, default=0.0)
