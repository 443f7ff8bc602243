"""Threads: an engine that runs in the thread of its caller, on several images at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from resnet_serve.triton.backends.batching import run_group
from resnet_serve.triton.backends.elastic import Engine, Outputs
from resnet_serve.triton.backends.stub import Arrays


class Threads:
    """`count` threads, the caller's included; the others sleep while nothing waits."""

    def __init__(self, engine: Engine, count: int) -> None:
        self.count = count
        self._engine = engine
        self._pool = ThreadPoolExecutor(max(1, count - 1))

    def run_each(self, names: Sequence[str], images: Sequence[Arrays]) -> list[Outputs]:
        """The outputs of each image; every thread takes the next when it has done its last."""
        found: list[Outputs] = [{}] * len(images)
        waiting = iter(enumerate(images))

        def work() -> None:
            for place, image in waiting:
                (found[place],) = run_group([image], partial(self._engine, names))

        others = [self._pool.submit(work) for _ in range(self.count - 1)]
        work()
        for other in others:
            other.result()
        return found

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
