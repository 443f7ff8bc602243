"""Throughput: what instances of a model do together when each always has a batch to run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray

from resnet_serve.runtimes import RunnableModel

SECONDS = 0.7


def images_per_s(
    instances: Sequence[RunnableModel], batch: NDArray[Any], *, seconds: float | None = None
) -> float:
    """All instances at once, each in a thread of its own, for `seconds` (`SECONDS` by default).

    Each runs once at least: a rate of a host that stood still is low, and never zero.
    """
    started = time.perf_counter()
    deadline = started + (SECONDS if seconds is None else seconds)

    def work(instance: RunnableModel) -> int:
        done = 0
        while not done or time.perf_counter() < deadline:
            instance.run_all(batch)
            done += len(batch)
        return done

    with ThreadPoolExecutor(len(instances)) as pool:
        done = sum(pool.map(work, instances))
    return done / (time.perf_counter() - started)
