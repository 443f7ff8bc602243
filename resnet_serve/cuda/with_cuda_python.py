"""The GPU through cuda-python (`cuda.bindings.runtime`), NVIDIA's own binding of the runtime API.

Every call returns an error first and its values after it; every error is checked. cudaSetDevice
makes the primary context, the one that torch and TensorRT use.
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
    """The value of one runtime call, None where it has none."""
    error, *values = function(*arguments)
    if error == cudart.cudaError_t.cudaSuccess:
        return values[0] if values else None
    reason = cudart.cudaGetErrorString(error)[1]
    words = reason.decode() if isinstance(reason, bytes) else str(reason)
    if error == cudart.cudaError_t.cudaErrorMemoryAllocation:
        raise HostError(
            f"GPU memory ran out: {function.__name__} failed: {words}",
            remedy="Free the GPU (nvidia-smi shows who uses it), or take smaller batches.",
        )
    raise HostError(f"{function.__name__} failed: {words}")


class CudaPythonDevice(Device):
    """See `resnet_serve.cuda.open_device`."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._made = Resources()

    @classmethod
    def open(cls, index: int) -> CudaPythonDevice:
        """GPU `index` of this host."""
        count = _call(cudart.cudaGetDeviceCount)
        if not 0 <= index < count:
            raise HostError(f"this host has no GPU {index}: its driver shows {count}")
        return cls(index)

    def describe(self) -> Gpu:
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
        before = _call(cudart.cudaGetDevice)
        _call(cudart.cudaSetDevice, self._index)
        try:
            yield
        finally:
            if before != self._index:
                _call(cudart.cudaSetDevice, before)

    def stream(self) -> Stream:
        native = _call(cudart.cudaStreamCreateWithFlags, cudart.cudaStreamNonBlocking)
        release = partial(_call, cudart.cudaStreamDestroy, native)
        return self._made.keep(Stream(native, int(native), release))

    def event(self) -> Event:
        native = _call(cudart.cudaEventCreate)
        release = partial(_call, cudart.cudaEventDestroy, native)
        return self._made.keep(Event(native, int(native), release))

    def allocate(self, size_bytes: int) -> Memory:
        address = int(_call(cudart.cudaMalloc, size_bytes))
        release = partial(_call, cudart.cudaFree, address)
        return self._made.keep(Memory(address, address, release))

    def pinned(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        size_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        address = int(_call(cudart.cudaMallocHost, size_bytes))
        # NumPy has no way to own it: the buffer that every view keeps alive frees it at its end.
        buffer = (ctypes.c_ubyte * size_bytes).from_address(address)
        weakref.finalize(buffer, cudart.cudaFreeHost, address).atexit = False
        return np.ctypeslib.as_array(buffer).view(dtype).reshape(shape)

    def copy_in(self, memory: Memory, array: NDArray[Any], stream: Stream) -> None:
        kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        source = array.ctypes.data
        _call(cudart.cudaMemcpyAsync, memory.handle, source, array.nbytes, kind, stream.native)

    def copy_out(self, array: NDArray[Any], memory: Memory, stream: Stream) -> None:
        kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        target = array.ctypes.data
        _call(cudart.cudaMemcpyAsync, target, memory.handle, array.nbytes, kind, stream.native)

    def record(self, event: Event, stream: Stream) -> None:
        _call(cudart.cudaEventRecord, event.native, stream.native)

    def elapsed_ms(self, start: Event, end: Event) -> float:
        return float(_call(cudart.cudaEventElapsedTime, start.native, end.native))

    def synchronise(self, stream: Stream) -> None:
        _call(cudart.cudaStreamSynchronize, stream.native)

    def capture(self, stream: Stream, enqueue: Callable[[], None]) -> Graph:
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        _call(cudart.cudaStreamBeginCapture, stream.native, mode)
        try:
            enqueue()
        except BaseException:
            # The stream stays unusable until its capture has ended; that it failed is known.
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
        _call(cudart.cudaGraphLaunch, graph.native, stream.native)

    def close(self) -> None:
        with self.current():
            self._made.close()
