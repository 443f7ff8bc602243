"""The GPU through pycuda, in the primary context and not in one made by `pycuda.autoinit`.

Another context would share nothing with torch and TensorRT, which use the primary one. pycuda has
no CUDA graphs; `driver_graphs` gets them from the driver itself.
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

_CU_STREAM_NON_BLOCKING = 1  # of cuda.h; pycuda accepts the number and has no name for it


@cache
def _primary_context(index: int) -> Any:
    # Kept until the process ends: torch or TensorRT may still have it as their current context.
    return drv.Device(index).retain_primary_context()


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Raise pycuda's errors, which name the call and CUDA's reason, as `HostError`."""
    try:
        yield
    except drv.MemoryError as error:
        raise HostError(
            f"GPU memory ran out: {what} ({error})",
            remedy="Free the GPU (nvidia-smi shows what uses it), or use smaller batches.",
        ) from error
    except drv.Error as error:
        raise HostError(f"CUDA refused {what}: {error}") from error


class PyCudaDevice(Device):
    """A GPU through pycuda; open it with `resnet_serve.cuda.open_device`."""

    def __init__(self, index: int, driver: str) -> None:
        self._index = index
        with _explained("the primary context"):
            self._context = _primary_context(index)
        self._graphs = DriverGraphs(driver)
        self._made = Resources()

    @classmethod
    def open(cls, index: int, driver: str) -> PyCudaDevice:
        """GPU number `index`; `driver` is the library for CUDA graphs.

        Raises `HostError` where the driver has no such GPU.
        """
        with _explained("to start"):
            drv.init()
            count = drv.Device.count()
        if not 0 <= index < count:
            raise HostError(f"this host has no GPU {index}: its driver shows {count}")
        return cls(index, driver)

    def describe(self) -> Gpu:
        """Name, compute capability, driver and memory."""
        with _explained("the GPU's properties"):
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
        """Make the primary context the calling thread's, and restore the one before."""
        with _explained("the primary context"):
            self._context.push()
        try:
            yield
        finally:
            with _explained("the primary context"):
                drv.Context.pop()

    def stream(self) -> Stream:
        """A new non-default stream."""
        with _explained("a stream"):
            native = drv.Stream(_CU_STREAM_NON_BLOCKING)
        return self._made.keep(Stream(native, int(native.handle), _nothing))

    def event(self) -> Event:
        """A new event."""
        with _explained("an event"):
            return self._made.keep(Event(drv.Event(), 0, _nothing))

    def allocate(self, size_bytes: int) -> Memory:
        """New memory on the GPU."""
        with _explained(f"{size_bytes} bytes"):
            native = drv.mem_alloc(size_bytes)
        return self._made.keep(Memory(native, int(native), native.free))

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """Page-locked host memory as an array; freed with the last view of it."""
        with _explained(f"page-locked memory for {tuple(shape)}"):
            array: NDArray[Any] = drv.pagelocked_empty(tuple(shape), np.dtype(dtype))
        return array

    def copy_in(self, memory: Memory, array: NDArray[Any], stream: Stream) -> None:
        """Queue a copy of a contiguous array to the GPU."""
        with _explained("a copy to the GPU"):
            drv.memcpy_htod_async(memory.handle, array, stream.native)

    def copy_out(self, array: NDArray[Any], memory: Memory, stream: Stream) -> None:
        """Queue a copy from the GPU that fills a contiguous array."""
        with _explained("a copy from the GPU"):
            drv.memcpy_dtoh_async(array, memory.handle, stream.native)

    def record(self, event: Event, stream: Stream) -> None:
        """Queue the event in the stream."""
        with _explained("an event"):
            event.native.record(stream.native)

    def elapsed_ms(self, start: Event, end: Event) -> float:
        """Milliseconds between two recorded events."""
        with _explained("the time between two events"):
            return float(start.native.time_till(end.native))

    def synchronise(self, stream: Stream) -> None:
        """Wait until all work queued in the stream is done."""
        with _explained("the work in its stream"):
            stream.native.synchronize()

    def capture(self, stream: Stream, enqueue: Callable[[], None]) -> Graph:
        """A graph of the work that `enqueue` queues in the stream; the work does not run."""
        handle = self._graphs.capture(stream.handle, enqueue)
        return self._made.keep(Graph(None, handle, partial(self._graphs.destroy, handle)))

    def launch(self, graph: Graph, stream: Stream) -> None:
        """Queue the work of the graph in the stream."""
        self._graphs.launch(graph.handle, stream.handle)

    def close(self) -> None:
        """Release all resources of this device."""
        with self.current():
            self._made.close()


def _nothing() -> None:
    """No release: pycuda frees a stream or an event with the last reference to it."""
