"""The cuda-python binding, with a stand-in for its runtime module over this process's memory.

`tests/contract/test_cuda_names.py` holds the names and arguments to the real package.
"""

from __future__ import annotations

import ctypes
import gc
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from resnet_serve.cuda import with_cuda_python
from resnet_serve.errors import HostError


class Status(Enum):
    cudaSuccess = 0  # noqa: N815 - CUDA's own names
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorStreamCaptureInvalidated = 901  # noqa: N815


WORDS = {
    Status.cudaErrorMemoryAllocation: b"out of memory",
    Status.cudaErrorStreamCaptureInvalidated: b"operation failed due to a previous error",
}
VALUES: dict[str, Any] = {
    "cudaGetDeviceCount": 2,
    "cudaGetDevice": 0,
    "cudaDriverGetVersion": 13000,
    "cudaStreamCreateWithFlags": 71,
    "cudaEventCreate": 72,
    "cudaEventElapsedTime": 1.5,
    "cudaStreamEndCapture": 73,
    "cudaGraphInstantiate": 74,
    "cudaGetDeviceProperties": SimpleNamespace(
        name=b"H100", major=9, minor=0, totalGlobalMem=80 * 2**30
    ),
}


class StandIn:
    """`cuda.bindings.runtime` as far as it is used: every function notes itself in `log`."""

    cudaError_t = Status  # noqa: N815
    cudaStreamNonBlocking = 1  # noqa: N815
    cudaMemcpyKind = SimpleNamespace(  # noqa: N815
        cudaMemcpyHostToDevice="in", cudaMemcpyDeviceToHost="out"
    )
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal="thread")  # noqa: N815

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.fails: dict[str, Status] = {}
        self.blocks: dict[int, Any] = {}

    def names(self) -> list[str]:
        return [entry[0] for entry in self.log]

    def cudaGetErrorString(self, error: Status) -> tuple[Status, bytes]:  # noqa: N802
        return Status.cudaSuccess, WORDS[error]

    def __getattr__(self, name: str) -> Any:
        def function(*arguments: Any) -> tuple[Any, ...]:
            self.log.append((name, *arguments))
            if name in self.fails:
                return self.fails[name], None
            if name in ("cudaMalloc", "cudaMallocHost"):
                block = ctypes.create_string_buffer(arguments[0])
                self.blocks[ctypes.addressof(block)] = block
                return Status.cudaSuccess, ctypes.addressof(block)
            if name in ("cudaFree", "cudaFreeHost"):
                del self.blocks[arguments[0]]
            if name == "cudaMemcpyAsync":
                ctypes.memmove(*arguments[:3])
            value = (VALUES[name],) if name in VALUES else ()
            return (Status.cudaSuccess, *value)

        function.__name__ = name
        return function


@pytest.fixture
def cudart(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(with_cuda_python, "cudart", stand_in)
    return stand_in


def opened(index: int = 0) -> with_cuda_python.CudaPythonDevice:
    return with_cuda_python.CudaPythonDevice.open(index)


def test_the_device_before_is_given_back(cudart: StandIn) -> None:
    with opened(1).current():
        cudart.log.append(("work",))
    assert cudart.log[1:] == [
        ("cudaGetDevice",),
        ("cudaSetDevice", 1),
        ("work",),
        ("cudaSetDevice", 0),
    ]


def test_describe(cudart: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(with_cuda_python, "driver_version", lambda cuda: f"for {cuda}")
    assert opened().describe().to_json() == {
        "name": "H100",
        "compute_capability": "9.0",
        "driver": "for 13000",
        "memory_gib": 80.0,
    }


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32])
def test_pinned_memory_in_and_out(dtype: type, cudart: StandIn) -> None:
    device = opened()
    with device.current():
        given, back = (device.pinned((2, 3), dtype) for _ in range(2))
        assert (given.shape, given.dtype, given.flags.writeable) == ((2, 3), dtype, True)
        given[:] = np.arange(6).reshape(2, 3)
        memory, stream = device.allocate(given.nbytes), device.stream()
        device.copy_in(memory, given, stream)
        device.copy_out(back, memory, stream)
    np.testing.assert_array_equal(back, np.arange(6).reshape(2, 3))
    copies = [entry[3:] for entry in cudart.log if entry[0] == "cudaMemcpyAsync"]
    assert copies == [(given.nbytes, "in", 71), (given.nbytes, "out", 71)]


def test_pinned_memory_is_freed_with_its_last_view(cudart: StandIn) -> None:
    device = opened()
    array = device.pinned((4, 2), np.float32)
    view = array[1:]
    del array
    gc.collect()
    assert "cudaFreeHost" not in cudart.names()
    view[:] = 1
    del view
    gc.collect()
    assert "cudaFreeHost" in cudart.names()
    assert not cudart.blocks


def test_close_frees_what_is_left_newest_first(cudart: StandIn) -> None:
    device = opened()
    with device.current():
        device.stream()
        device.allocate(16)
        device.event()
        graph = device.capture(device.stream(), lambda: None)
        graph.close()
    device.close()
    device.close()
    released = [name for name in cudart.names() if releases(name)]
    assert released == [
        "cudaGraphDestroy",
        "cudaGraphExecDestroy",
        "cudaStreamDestroy",
        "cudaEventDestroy",
        "cudaFree",
        "cudaStreamDestroy",
    ]
    assert not cudart.blocks


def releases(name: str) -> bool:
    return name.endswith("Destroy") or name == "cudaFree"


def test_a_graph(cudart: StandIn) -> None:
    device = opened()
    with device.current():
        stream = device.stream()
        graph = device.capture(stream, lambda: cudart.log.append(("work",)))
        device.launch(graph, stream)
    at = cudart.log.index(("cudaStreamBeginCapture", 71, "thread"))
    assert cudart.log[at:] == [
        ("cudaStreamBeginCapture", 71, "thread"),
        ("work",),
        ("cudaStreamEndCapture", 71),
        ("cudaGraphInstantiate", 73, 0),
        ("cudaGraphDestroy", 73),
        ("cudaGraphLaunch", 74, 71),
    ]


def test_work_that_fails_ends_the_capture(cudart: StandIn) -> None:
    device = opened()
    with device.current(), pytest.raises(HostError, match="did not run"):

        def fail() -> None:
            raise HostError("TensorRT did not run the engine")

        device.capture(device.stream(), fail)
    assert cudart.names()[-2:] == ["cudaStreamEndCapture", "cudaGraphDestroy"]


def test_time_between_events(cudart: StandIn) -> None:
    device = opened()
    with device.current():
        stream, start, end = device.stream(), device.event(), device.event()
        device.record(start, stream)
        device.record(end, stream)
        device.synchronise(stream)
        assert device.elapsed_ms(start, end) == 1.5


@pytest.mark.parametrize("index", [2, -1])
def test_no_such_gpu(index: int, cudart: StandIn) -> None:
    with pytest.raises(HostError, match=f"this host has no GPU {index}: its driver shows 2"):
        opened(index)


def test_every_error_is_one_line(cudart: StandIn) -> None:
    device = opened()
    cudart.fails["cudaMalloc"] = Status.cudaErrorMemoryAllocation
    with pytest.raises(HostError, match="GPU memory ran out: cudaMalloc failed: out of memory"):
        device.allocate(16)
    cudart.fails["cudaStreamSynchronize"] = Status.cudaErrorStreamCaptureInvalidated
    stream = device.stream()
    with pytest.raises(HostError, match=r"^cudaStreamSynchronize failed: operation failed"):
        device.synchronise(stream)
