"""The GPU through pycuda: the primary context is retained, never made by `pycuda.autoinit`.

A context of pycuda's own would share nothing with torch and TensorRT, which live in the primary
one. pycuda has no CUDA graphs; the driver itself is asked for them.
Reference: pycuda, "Device Interface"; written against 2026.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from resnet_serve.cuda.device import (
    Device,
    Event,
    Gpu,
    Graph,
    Memory,
    Resources,
    Stream,
    driver_version,
)
from resnet_serve.cuda.driver_graphs import DriverGraphs
from resnet_serve.errors import HostError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import pycuda.driver as drv
else:
    drv = optional("pycuda.driver", extra="pycuda")

_CU_STREAM_NON_BLOCKING = 1  # cuda.h; pycuda passes the number on and has no name for it


@cache
def _primary_context(index: int) -> Any:
    # For the life of the process: releasing it while torch or TensorRT hold it as current would
    # leave them with a context that is gone.
    return drv.Device(index).retain_primary_context()


@contextmanager
def _worded(what: str) -> Iterator[None]:
    """pycuda's exceptions as ours; they already name the call and CUDA's reason."""
    try:
        yield
    except drv.MemoryError as error:
        raise HostError(
            f"GPU memory ran out: {what} ({error})",
            remedy="Free the GPU (nvidia-smi shows who uses it), or take smaller batches.",
        ) from error
    except drv.Error as error:
        raise HostError(f"CUDA refuses {what}: {error}") from error


class PyCudaDevice(Device):
    """See `resnet_serve.cuda.open_device`."""

    def __init__(self, index: int, driver: str) -> None:
        self._index = index
        with _worded("the primary context"):
            self._context = _primary_context(index)
        self._graphs = DriverGraphs(driver)
        self._made = Resources()

    @classmethod
    def open(cls, index: int, driver: str) -> PyCudaDevice:
        """GPU `index`; `driver` is the library that CUDA graphs are asked of."""
        with _worded("to start"):
            drv.init()
            count = drv.Device.count()
        if not 0 <= index < count:
            raise HostError(f"this host has no GPU {index}: its driver shows {count}")
        return cls(index, driver)

    def describe(self) -> Gpu:
        with _worded("the GPU's properties"):
            device = drv.Device(self._index)
            major, minor = device.compute_capability()
            return Gpu(
                name=device.name(),
                compute_capability=f"{major}.{minor}",
                driver=driver_version(drv.get_driver_version()),
                memory_gib=round(device.total_memory() / 2**30, 1),
            )

    @contextmanager
    def current(self) -> Iterator[None]:
        with _worded("the primary context"):
            self._context.push()
        try:
            yield
        finally:
            with _worded("the primary context"):
                drv.Context.pop()

    def stream(self) -> Stream:
        with _worded("a stream"):
            native = drv.Stream(_CU_STREAM_NON_BLOCKING)
        return self._made.keep(Stream(native, int(native.handle), _forgotten))

    def event(self) -> Event:
        with _worded("an event"):
            return self._made.keep(Event(drv.Event(), 0, _forgotten))

    def allocate(self, size_bytes: int) -> Memory:
        with _worded(f"{size_bytes} bytes"):
            native = drv.mem_alloc(size_bytes)
        return self._made.keep(Memory(native, int(native), native.free))

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        with _worded(f"page-locked memory for {tuple(shape)}"):
            array: NDArray[Any] = drv.pagelocked_empty(tuple(shape), np.dtype(dtype))
        return array

    def copy_in(self, memory: Memory, array: NDArray[Any], stream: Stream) -> None:
        with _worded("a copy to the GPU"):
            drv.memcpy_htod_async(memory.handle, array, stream.native)

    def copy_out(self, array: NDArray[Any], memory: Memory, stream: Stream) -> None:
        with _worded("a copy from the GPU"):
            drv.memcpy_dtoh_async(array, memory.handle, stream.native)

    def record(self, event: Event, stream: Stream) -> None:
        with _worded("an event"):
            event.native.record(stream.native)

    def elapsed_ms(self, start: Event, end: Event) -> float:
        with _worded("the time between two events"):
            return float(start.native.time_till(end.native))

    def synchronise(self, stream: Stream) -> None:
        with _worded("the work in its stream"):
            stream.native.synchronize()

    def capture(self, stream: Stream, enqueue: Callable[[], None]) -> Graph:
        handle = self._graphs.capture(stream.handle, enqueue)
        return self._made.keep(Graph(None, handle, partial(self._graphs.destroy, handle)))

    def launch(self, graph: Graph, stream: Stream) -> None:
        self._graphs.launch(graph.handle, stream.handle)

    def close(self) -> None:
        with self.current():
            self._made.close()


def _forgotten() -> None:
    """pycuda frees a stream or an event with the last reference to it."""
