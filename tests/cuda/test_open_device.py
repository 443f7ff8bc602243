"""Which binding drives the GPU, and what is said where none can."""

from __future__ import annotations

import sys

import pytest

from resnet_serve import cuda
from resnet_serve.cuda import with_cuda_python, with_pycuda
from resnet_serve.errors import HostError

ANY_LIBRARY = "libc.so.6"  # a driver that is there


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    for package in packages:
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "DRIVER", "libcuda-of-nobody.so.1")
    with pytest.raises(HostError, match="this host has no NVIDIA driver") as refusal:
        cuda.open_device()
    assert "libcuda-of-nobody.so.1" in str(refusal.value)
    assert refusal.value.exit_code == 4
    assert "\n" not in str(refusal.value)


def test_a_driver_and_neither_binding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "DRIVER", ANY_LIBRARY)
    hide(monkeypatch, "pycuda", "cuda")
    with pytest.raises(HostError, match="neither pycuda nor cuda-python") as refusal:
        cuda.open_device()
    assert "pip install 'resnet-serve[tensorrt]'" in str(refusal.value)


@pytest.mark.parametrize(
    ("installed", "opened"),
    [
        ({"pycuda.driver", "cuda.bindings.runtime"}, "pycuda"),
        ({"pycuda.driver"}, "pycuda"),
        ({"cuda.bindings.runtime"}, "cuda-python"),
    ],
)
def test_pycuda_comes_first(
    installed: set[str], opened: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "DRIVER", ANY_LIBRARY)
    monkeypatch.setattr(cuda, "_installed", installed.__contains__)
    chosen: list[tuple[str, int]] = []
    monkeypatch.setattr(
        with_pycuda.PyCudaDevice, "open", lambda index, driver: chosen.append(("pycuda", index))
    )
    monkeypatch.setattr(
        with_cuda_python.CudaPythonDevice,
        "open",
        lambda index: chosen.append(("cuda-python", index)),
    )
    cuda.open_device(3)
    assert chosen == [(opened, 3)]


def test_what_is_installed_is_found() -> None:
    assert cuda._installed("json.decoder")
    assert not cuda._installed("json.nothing")
    assert not cuda._installed("no_package_of_this_name.driver")
