"""A `Device` of NumPy memory: work is queued, and done when its stream is synchronised.

What is read too early is therefore still empty, and what is done outside `current()`, on another
stream or after `close` fails the test.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from resnet_serve.cuda import Device, Event, Gpu, Graph, Memory, Stream
from resnet_serve.errors import HostError

GPU = Gpu(name="NumPy", compute_capability="9.0", driver="580.65.06", memory_gib=80.0)
Work = Callable[[], None]


class MemoryDevice(Device):
    """`log` tells what it was asked for, in order; `limit_bytes` bounds what can be allocated."""

    def __init__(self, limit_bytes: int = 2**30) -> None:
        self.log: list[str] = []
        self.memory: dict[int, NDArray[np.uint8]] = {}
        self.streams: dict[int, list[Work]] = {}
        self.graphs: dict[int, list[Work]] = {}
        self.closed = 0
        self.depth = 0
        self._limit_bytes = limit_bytes
        self._capturing: list[Work] | None = None
        self._handles = itertools.count(4096, 256)
        self._clock = 0.0

    def describe(self) -> Gpu:
        return GPU

    @contextmanager
    def current(self) -> Iterator[None]:
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def stream(self) -> Stream:
        handle = self._new("stream")
        self.streams[handle] = []
        return Stream(handle, handle, lambda: self.streams.pop(handle))

    def event(self) -> Event:
        self._new("event")
        return Event({}, 1, lambda: None)

    def allocate(self, size_bytes: int) -> Memory:
        handle = self._new("allocate")
        held = sum(each.nbytes for each in self.memory.values())
        if held + size_bytes > self._limit_bytes:
            raise HostError(f"GPU memory ran out: {size_bytes} bytes")
        self.memory[handle] = np.zeros(size_bytes, np.uint8)
        return Memory(handle, handle, lambda: self.memory.pop(handle))

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        self._new("pinned")
        return np.zeros(shape, dtype)

    def copy_in(self, memory: Memory, array: NDArray[Any], stream: Stream) -> None:
        target = self.bytes_at(memory.handle)

        def copy() -> None:
            target[: array.nbytes] = array.reshape(-1).view(np.uint8)

        self.enqueue("copy in", stream.handle, copy)

    def copy_out(self, array: NDArray[Any], memory: Memory, stream: Stream) -> None:
        source = self.bytes_at(memory.handle)

        def copy() -> None:
            array.reshape(-1).view(np.uint8)[:] = source[: array.nbytes]

        self.enqueue("copy out", stream.handle, copy)

    def record(self, event: Event, stream: Stream) -> None:
        native = event.native

        def pass_by() -> None:
            native["ms"] = self._clock

        self.enqueue("record", stream.handle, pass_by)

    def elapsed_ms(self, start: Event, end: Event) -> float:
        return float(end.native["ms"] - start.native["ms"])

    def synchronise(self, stream: Stream) -> None:
        assert self.depth, "synchronised outside current()"
        self.log.append("synchronise")
        work, self.streams[stream.handle] = self.streams[stream.handle], []
        for each in work:
            each()
            self._clock += 1

    def capture(self, stream: Stream, enqueue: Callable[[], None]) -> Graph:
        assert not self.streams[stream.handle], "captured behind work that still runs"
        handle = self._new("capture")
        self._capturing = captured = []
        try:
            enqueue()
        finally:
            self._capturing = None
        self.graphs[handle] = captured
        return Graph(handle, handle, lambda: self.graphs.pop(handle))

    def launch(self, graph: Graph, stream: Stream) -> None:
        work = self.graphs[graph.handle]
        self.enqueue("launch", stream.handle, lambda: [each() for each in work] and None)

    def close(self) -> None:
        self.closed += 1

    @property
    def capturing(self) -> bool:
        return self._capturing is not None

    def bytes_at(self, address: int) -> NDArray[np.uint8]:
        """The memory that was allocated at this address."""
        return self.memory[address]

    def enqueue(self, what: str, stream: int, work: Work) -> None:
        """Queue work, as the driver and TensorRT do; captured while a capture is on."""
        assert self.depth, f"{what} outside current()"
        assert stream in self.streams, f"{what} on stream {stream}, which is none of ours"
        self.log.append(what if not self.capturing else f"captured {what}")
        (self.streams[stream] if self._capturing is None else self._capturing).append(work)

    def _new(self, what: str) -> int:
        assert self.depth, f"{what} outside current()"
        self.log.append(what)
        return next(self._handles)
