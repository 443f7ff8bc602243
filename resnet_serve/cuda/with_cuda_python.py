"""The GPU through cuda-python (`cuda.bindings.runtime`), NVIDIA's own binding of the runtime API.

Every call returns an error and then its values; every error is checked. cudaSetDevice creates the
primary context, which torch and TensorRT use as well.
Reference: CUDA Runtime API; written against cuda-bindings 13.4.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
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
from resnet_serve.errors import HostError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    from cuda.bindings import runtime as cudart
else:
    cudart = optional("cuda.bindings.runtime", extra="tensorrt")


def _call(function: Callable[..., tuple[Any, ...]], *arguments: object) -> Any:
    """The value of one runtime call, or None; raises `HostError` for its error."""
    error, *values = function(*arguments)
    if error == cudart.cudaError_t.cudaSuccess:
        return values[0] if values else None
    reason = cudart.cudaGetErrorString(error)[1]
    text = reason.decode() if isinstance(reason, bytes) else str(reason)
    if error == cudart.cudaError_t.cudaErrorMemoryAllocation:
        raise HostError(
            f"GPU memory ran out: {function.__name__} failed: {text}",
            remedy="Free the GPU (nvidia-smi shows what uses it), or use smaller batches.",
        )
    raise HostError(f"{function.__name__} failed: {text}")


class CudaPythonDevice(Device):
    """A GPU through cuda-python; open it with `resnet_serve.cuda.open_device`."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._made = Resources()

    @classmethod
    def open(cls, index: int) -> CudaPythonDevice:
        """GPU number `index`; raises `HostError` where the driver has no such GPU."""
        count = _call(cudart.cudaGetDeviceCount)
        if not 0 <= index < count:
            raise HostError(f"this host has no GPU {index}: its driver shows {count}")
        return cls(index)

    def describe(self) -> Gpu:
        """Name, compute capability, driver and memory."""
        found = _call(cudart.cudaGetDeviceProperties, self._index)
        name = found.name.decode() if isinstance(found.name, bytes) else str(found.name)
        return Gpu(
            name=name.rstrip("\0"),
            compute_capability=f"{found.major}.{found.minor}",
            driver=driver_version(_call(cudart.cudaDriverGetVersion)),
            memory_gib=round(found.totalGlobalMem / 2**30, 1),
        )

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the primary context the calling thread's, and restore the one before."""
        before = _call(cudart.cudaGetDevice)
        _call(cudart.cudaSetDevice, self._index)
        try:
            yield
        finally:
            if before != self._index:
                _call(cudart.cudaSetDevice, before)

    def stream(self) -> Stream:
        """A new non-default stream."""
        native = _call(cudart.cudaStreamCreateWithFlags, cudart.cudaStreamNonBlocking)
        release = partial(_call, cudart.cudaStreamDestroy, native)
        return self._made.keep(Stream(native, int(native), release))

    def event(self) -> Event:
        """A new event."""
        native = _call(cudart.cudaEventCreate)
        release = partial(_call, cudart.cudaEventDestroy, native)
        return self._made.keep(Event(native, int(native), release))

    def allocate(self, size_bytes: int) -> Memory:
        """New memory on the GPU."""
        address = int(_call(cudart.cudaMalloc, size_bytes))
        release = partial(_call, cudart.cudaFree, address)
        return self._made.keep(Memory(address, address, release))

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """Page-locked host memory as an array; freed with the last view of it."""
        size_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        address = int(_call(cudart.cudaMallocHost, size_bytes))
        # NumPy cannot own this memory: it is freed with the buffer, which every view keeps alive.
        buffer = (ctypes.c_ubyte * size_bytes).from_address(address)
        weakref.finalize(buffer, cudart.cudaFreeHost, address).atexit = False
        return np.ctypeslib.as_array(buffer).view(dtype).reshape(shape)

    def copy_in(self, memory: Memory, array: NDArray[Any], stream: Stream) -> None:
        """Queue a copy of a contiguous array to the GPU."""
        kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        source = array.ctypes.data
        _call(cudart.cudaMemcpyAsync, memory.handle, source, array.nbytes, kind, stream.native)

    def copy_out(self, array: NDArray[Any], memory: Memory, stream: Stream) -> None:
        """Queue a copy from the GPU that fills a contiguous array."""
        kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        target = array.ctypes.data
        _call(cudart.cudaMemcpyAsync, target, memory.handle, array.nbytes, kind, stream.native)

    def record(self, event: Event, stream: Stream) -> None:
        """Queue the event in the stream."""
        _call(cudart.cudaEventRecord, event.native, stream.native)

    def elapsed_ms(self, start: Event, end: Event) -> float:
        """Milliseconds between two recorded events."""
        return float(_call(cudart.cudaEventElapsedTime, start.native, end.native))

    def synchronise(self, stream: Stream) -> None:
        """Wait until all work queued in the stream is done."""
        _call(cudart.cudaStreamSynchronize, stream.native)

    def capture(self, stream: Stream, enqueue: Callable[[], None]) -> Graph:
        """A graph of the work that `enqueue` queues in the stream; the work does not run."""
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        _call(cudart.cudaStreamBeginCapture, stream.native, mode)
        try:
            enqueue()
        except BaseException:
            # The stream cannot be used until its capture has ended; its failure is expected here.
            _, *graphs = cudart.cudaStreamEndCapture(stream.native)
            if graphs and graphs[0]:
                cudart.cudaGraphDestroy(graphs[0])
            raise
        graph = _call(cudart.cudaStreamEndCapture, stream.native)
        try:
            native = _call(cudart.cudaGraphInstantiate, graph, 0)
        finally:
            _call(cudart.cudaGraphDestroy, graph)
        release = partial(_call, cudart.cudaGraphExecDestroy, native)
        return self._made.keep(Graph(native, int(native), release))

    def launch(self, graph: Graph, stream: Stream) -> None:
        """Queue the work of the graph in the stream."""
        _call(cudart.cudaGraphLaunch, graph.native, stream.native)

    def close(self) -> None:
        """Release all resources of this device."""
        with self.current():
            self._made.close()
