"""Instances side by side: all of their images count, and a failure of one is not swallowed."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from resnet_convert.parity.throughput import images_per_s
from resnet_serve.runtimes import RunnableModel

SECONDS = 0.1
BATCH = np.zeros((4, 2, 2, 3), np.uint8)


class Sleeper(RunnableModel):
    """Takes 10 ms a batch and notes the thread it ran in."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.runs = 0

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.threads.add(threading.get_ident())
        self.runs += 1
        time.sleep(0.01)
        return np.zeros((len(batch), 10), np.float32)

    def describe(self) -> dict[str, object]:
        return {}

    def close(self) -> None:
        pass


class Broken(Sleeper):
    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        raise ValueError("the kernel failed")


def test_every_instance_runs_at_the_same_time_and_every_image_counts() -> None:
    instances = [Sleeper(), Sleeper()]
    started = time.perf_counter()
    rate = images_per_s(instances, BATCH, seconds=SECONDS)
    elapsed_s = time.perf_counter() - started
    images = len(BATCH) * sum(each.runs for each in instances)
    assert images / elapsed_s <= rate <= images / SECONDS
    assert all(len(each.threads) == 1 for each in instances)
    assert instances[0].threads.isdisjoint(instances[1].threads)


def test_a_host_that_stands_still_has_a_rate() -> None:
    """The time is over before the first instance begins."""
    instances = [Sleeper(), Sleeper()]
    assert images_per_s(instances, BATCH, seconds=0) > 0
    assert [each.runs for each in instances] == [1, 1]


def test_a_failure_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="the kernel failed"):
        images_per_s([Sleeper(), Broken()], BATCH, seconds=0.05)
