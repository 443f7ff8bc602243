"""The pycuda binding, with a stand-in for pycuda: it cannot be built where CUDA is not.

`tests/contract/test_cuda_names.py` holds the names used to pycuda's own source.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from resnet_serve.cuda import with_pycuda
from resnet_serve.errors import HostError


class StandIn:
    """`pycuda.driver` as far as it is used; `log` is what it was asked, `fails` what it refuses."""

    class Error(Exception):
        pass

    class MemoryError(Error):
        pass

    def __init__(self) -> None:
        self.log: list[str] = []
        self.fails: dict[str, Exception] = {}
        self.gpus = 2
        self.Context = SimpleNamespace(pop=lambda: self._note("pop"))
        self.Device = lambda index: SimpleNamespace(
            retain_primary_context=lambda: (
                self._note(f"retain {index}") or SimpleNamespace(push=lambda: self._note("push"))
            ),
            compute_capability=lambda: (9, 0),
            name=lambda: "H100",
            total_memory=lambda: 80 * 2**30,
        )
        self.Device.count = lambda: self.gpus  # type: ignore[attr-defined]

    def _note(self, what: str) -> None:
        self.log.append(what)
        if what in self.fails:
            raise self.fails[what]

    def init(self) -> None:
        self._note("init")

    def get_driver_version(self) -> int:
        return 13000

    def Stream(self, flags: int) -> Any:  # noqa: N802 - pycuda's own name
        self._note(f"stream {flags}")
        return SimpleNamespace(handle=77, synchronize=lambda: self._note("synchronise"))

    def mem_alloc(self, size: int) -> Any:
        self._note("allocate")

        class Allocation:
            def __int__(self) -> int:
                return 4096

            def free(this) -> None:  # noqa: N805
                self._note("free")

        return Allocation()

    def memcpy_htod_async(self, *arguments: object) -> None:
        self._note("copy in")


@pytest.fixture
def pycuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    stand_in = StandIn()
    monkeypatch.setattr(with_pycuda, "drv", stand_in)
    monkeypatch.setattr(with_pycuda, "DriverGraphs", lambda library: None)
    with_pycuda._primary_context.cache_clear()
    yield stand_in
    with_pycuda._primary_context.cache_clear()


def opened(index: int = 0) -> with_pycuda.PyCudaDevice:
    return with_pycuda.PyCudaDevice.open(index, "libcuda.so.1")


def test_the_primary_context_is_retained_once_and_current_only_inside(pycuda: StandIn) -> None:
    first, second = opened(1), opened(1)
    for device in (first, second):
        with device.current():
            pycuda.log.append("work")
    assert pycuda.log == ["init", "retain 1", "init", *["push", "work", "pop"] * 2]


def test_the_context_before_is_given_back_after_an_error(pycuda: StandIn) -> None:
    device = opened()
    with pytest.raises(KeyError), device.current():
        raise KeyError
    assert pycuda.log[-1] == "pop"


def test_describe(pycuda: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(with_pycuda, "driver_version", lambda cuda: f"for {cuda}")
    assert opened().describe().to_json() == {
        "name": "H100",
        "compute_capability": "9.0",
        "driver": "for 13000",
        "memory_gib": 80.0,
    }


def test_a_stream_is_not_the_default_one_and_does_not_wait_for_it(pycuda: StandIn) -> None:
    device = opened()
    with device.current():
        stream = device.stream()
        device.synchronise(stream)
    non_blocking = 1
    assert stream.handle == 77
    assert f"stream {non_blocking}" in pycuda.log
    assert "synchronise" in pycuda.log


def test_close_frees_what_is_left(pycuda: StandIn) -> None:
    device = opened()
    with device.current():
        device.allocate(16)
        device.allocate(16).close()
    device.close()
    device.close()
    assert pycuda.log.count("free") == 2
    assert pycuda.log[-3:] == ["pop", "push", "pop"]


@pytest.mark.parametrize(("index", "gpus"), [(2, 2), (-1, 2), (0, 0)])
def test_no_such_gpu(index: int, gpus: int, pycuda: StandIn) -> None:
    pycuda.gpus = gpus
    with pytest.raises(HostError, match=f"this host has no GPU {index}: its driver shows {gpus}"):
        opened(index)


def test_what_cuda_refuses_is_one_line(pycuda: StandIn) -> None:
    pycuda.fails["init"] = pycuda.Error("cuInit failed: no CUDA-capable device is detected")
    with pytest.raises(HostError, match="cuInit failed: no CUDA-capable device is detected"):
        opened()
    pycuda.fails.clear()
    device = opened()
    pycuda.fails["allocate"] = pycuda.MemoryError("cuMemAlloc failed: out of memory")
    with (
        pytest.raises(HostError, match="GPU memory ran out: 16 bytes") as refusal,
        device.current(),
    ):
        device.allocate(16)
    assert refusal.value.exit_code == 4
    pycuda.fails["copy in"] = pycuda.Error("cuMemcpyHtoDAsync failed: invalid argument")
    pycuda.fails.pop("allocate")
    with device.current(), pytest.raises(HostError, match="a copy to the GPU: cuMemcpy"):
        device.copy_in(device.allocate(16), np.zeros(4, np.float32), device.stream())
