"""The interface of a GPU, in CUDA's terms; each Python binding implements it in its own file.

Each resource of a device is released once: by its own `close`, or by the device's.
Reference: CUDA Runtime API, "Stream Management", "Event Management", "Graph Management".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True)
class Gpu:
    """A GPU as a passport records it; `compute_capability` is a text such as "9.0"."""

    name: str
    compute_capability: str
    driver: str
    memory_gib: float

    def to_json(self) -> dict[str, object]:
        """Its fields by name."""
        return {
            "name": self.name,
            "compute_capability": self.compute_capability,
            "driver": self.driver,
            "memory_gib": self.memory_gib,
        }


class Resource:
    """A resource on the GPU. `handle` is CUDA's integer for it, 0 once it is released.

    `native` is the object of the Python binding, and `release` frees it.
    """

    def __init__(self, native: Any, handle: int, release: Callable[[], object]) -> None:
        self.native = native
        self.handle = handle
        self._release: Callable[[], object] | None = release

    @property
    def closed(self) -> bool:
        """Whether it has been released."""
        return self._release is None

    def close(self) -> None:
        """Release it; a second call does nothing."""
        release, self._release = self._release, None
        if release is not None:
            self.handle = 0
            self.native = None
            release()


class Stream(Resource):
    """A queue of work, never the default stream; TensorRT takes its `handle`."""


class Memory(Resource):
    """Bytes on the GPU; `handle` is their address."""


class Event(Resource):
    """A point in the work of a stream, with the time at which the GPU passes it."""


class Graph(Resource):
    """An executable CUDA graph: captured work, launched with one call."""


Made = TypeVar("Made", bound=Resource)


class Resources:
    """The resources of a device that are not released yet, the newest last."""

    def __init__(self) -> None:
        self._made: list[Resource] = []

    def keep(self, resource: Made) -> Made:
        """Remember a new resource, and return it."""
        self._made = [one for one in self._made if not one.closed]
        self._made.append(resource)
        return resource

    def close(self) -> None:
        """Release all of them, the newest first."""
        while self._made:
            self._made.pop().close()


class Device(Protocol):
    """One GPU. Call every method but `describe`, `current` and `close` inside `with current():`.

    Every method raises `HostError` with CUDA's own message when CUDA reports an error.
    """

    def describe(self) -> Gpu:
        """Name, compute capability, driver and memory."""
        ...

    def current(self) -> AbstractContextManager[None]:
        """Make this GPU's primary context the calling thread's, and restore the one before."""
        ...

    def stream(self) -> Stream:
        """A new non-default stream."""
        ...

    def event(self) -> Event:
        """A new event, which `record` puts into a stream."""
        ...

    def allocate(self, size_bytes: int) -> Memory:
        """New memory on the GPU."""
        ...

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """Page-locked host memory as an array; freed with the last view of it."""
        ...

    def copy_in(self, memory: Memory, array: NDArray[Any], stream: Stream) -> None:
        """Queue a copy of a contiguous array to the GPU."""
        ...

    def copy_out(self, array: NDArray[Any], memory: Memory, stream: Stream) -> None:
        """Queue a copy from the GPU that fills a contiguous array."""
        ...

    def record(self, event: Event, stream: Stream) -> None:
        """Queue the event in the stream."""
        ...

    def elapsed_ms(self, start: Event, end: Event) -> float:
        """Milliseconds between two recorded events that the GPU has passed."""
        ...

    def synchronise(self, stream: Stream) -> None:
        """Wait until all work queued in the stream is done."""
        ...

    def capture(self, stream: Stream, enqueue: Callable[[], None]) -> Graph:
        """A graph of the work that `enqueue` queues in the stream; the work does not run."""
        ...

    def launch(self, graph: Graph, stream: Stream) -> None:
        """Queue the work of the graph in the stream."""
        ...

    def close(self) -> None:
        """Release all resources of this device that are not released yet."""
        ...


def driver_version(cuda: int, procfs: Path = Path("/proc/driver/nvidia/version")) -> str:
    """The driver's version ("580.65.06"), or the CUDA version it supports ("CUDA 13.0").

    The latter where the kernel hides the former. `cuda` is CUDA's own number for it, 1000 × major
    + 10 × minor.
    """
    try:
        found = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", procfs.read_text())
    except OSError:
        found = None
    return found[1] if found else f"CUDA {cuda // 1000}.{cuda % 1000 // 10}"
