"""What every binding shares: the description of a GPU, and resources that are released once."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_serve.cuda import Gpu, Memory
from resnet_serve.cuda.device import Resources, driver_version

OPEN_MODULE = """\
NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder)
GCC version:  gcc version 13.3.0 (Ubuntu 13.3.0-6ubuntu2~24.04)
"""
CLOSED_MODULE = """\
NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024
GCC version:  gcc version 11.4.0
"""


@pytest.mark.parametrize(
    ("text", "version"),
    [(OPEN_MODULE, "580.65.06"), (CLOSED_MODULE, "535.183.01"), ("something", "CUDA 13.0")],
)
def test_the_driver_says_its_version(text: str, version: str, tmp_path: Path) -> None:
    (tmp_path / "version").write_text(text)
    assert driver_version(13000, tmp_path / "version") == version


def test_a_hidden_driver_says_which_cuda_it_speaks(tmp_path: Path) -> None:
    assert driver_version(12060, tmp_path / "missing") == "CUDA 12.6"


def test_a_gpu_as_json() -> None:
    gpu = Gpu(name="H100", compute_capability="9.0", driver="580.65.06", memory_gib=79.6)
    assert Gpu(**gpu.to_json()) == gpu  # type: ignore[arg-type]


def test_a_resource_is_released_once() -> None:
    released: list[str] = []
    memory = Memory("native", 4096, lambda: released.append("memory"))
    memory.close()
    memory.close()
    assert released == ["memory"]
    assert (memory.handle, memory.native, memory.closed) == (0, None, True)


def test_a_device_releases_what_is_left_newest_first() -> None:
    released: list[int] = []
    made = Resources()
    memories = [made.keep(Memory(n, n, lambda n=n: released.append(n))) for n in (1, 2, 3)]
    memories[1].close()
    made.close()
    made.close()
    assert released == [2, 3, 1]
