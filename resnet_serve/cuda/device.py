"""What a GPU binding has to offer, in CUDA's words; each binding implements it in its own file.

Whatever a device makes is released once: by its own `close`, or by the device's.
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
    """A GPU as it goes into a passport; `compute_capability` is written "9.0"."""

    name: str
    compute_capability: str
    driver: str
    memory_gib: float

    def to_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "compute_capability": self.compute_capability,
            "driver": self.driver,
            "memory_gib": self.memory_gib,
        }


class Resource:
    """Something of the GPU's; `handle` is CUDA's integer for it, 0 once it is released."""

    def __init__(self, native: Any, handle: int, release: Callable[[], object]) -> None:
        self.native = native
        self.handle = handle
        self._release: Callable[[], object] | None = release

    @property
    def closed(self) -> bool:
        return self._release is None

    def close(self) -> None:
        """Release it; the second time does nothing."""
        release, self._release = self._release, None
        if release is not None:
            self.handle = 0
            self.native = None
            release()


class Stream(Resource):
    """A queue of work, never the default one; `handle` is what TensorRT takes."""


class Memory(Resource):
    """Bytes on the GPU; `handle` is their address."""


class Event(Resource):
    """A moment in a stream."""


class Graph(Resource):
    """Captured work that is launched as one."""


Made = TypeVar("Made", bound=Resource)


class Resources:
    """What a device has made and not yet released, the newest last."""

    def __init__(self) -> None:
        self._made: list[Resource] = []

    def keep(self, resource: Made) -> Made:
        self._made = [one for one in self._made if not one.closed]
        self._made.append(resource)
        return resource

    def close(self) -> None:
        while self._made:
            self._made.pop().close()


class Device(Protocol):
    """One GPU. All but `describe`, `current` and `close` is called inside `with current():`.

    Every method raises `HostError` with CUDA's own words when CUDA refuses.
    """

    def describe(self) -> Gpu: ...

    def current(self) -> AbstractContextManager[None]:
        """Make this GPU's primary context the calling thread's, and give back the one before."""

    def stream(self) -> Stream: ...

    def event(self) -> Event: ...

    def allocate(self, size_bytes: int) -> Memory: ...

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """Page-locked host memory as an array; freed with the last view of it."""

    def copy_in(self, memory: Memory, array: NDArray[Any], stream: Stream) -> None:
        """Queue a copy of a contiguous array to the GPU."""

    def copy_out(self, array: NDArray[Any], memory: Memory, stream: Stream) -> None:
        """Queue a copy from the GPU that fills a contiguous array."""

    def record(self, event: Event, stream: Stream) -> None: ...

    def elapsed_ms(self, start: Event, end: Event) -> float:
        """Milliseconds between two recorded events that the GPU has passed."""

    def synchronise(self, stream: Stream) -> None:
        """Wait until all that was queued in the stream is done."""

    def capture(self, stream: Stream, enqueue: Callable[[], None]) -> Graph:
        """What `enqueue` queues in the stream, recorded instead of run."""

    def launch(self, graph: Graph, stream: Stream) -> None: ...

    def close(self) -> None: ...


def driver_version(cuda: int, procfs: Path = Path("/proc/driver/nvidia/version")) -> str:
    """The driver's own version ("580.65.06"); where the kernel hides it, the CUDA it speaks.

    `cuda` is CUDA's number for it: 1000 × major + 10 × minor.
    """
    try:
        found = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", procfs.read_text())
    except OSError:
        found = None
    return found[1] if found else f"CUDA {cuda // 1000}.{cuda % 1000 // 10}"
