"""The GPUs that nvidia-smi lists, and its failures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_serve.cuda import nvidia_smi
from resnet_serve.cuda.device import Gpu
from resnet_serve.errors import HostError


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a shell script in the place of nvidia-smi."""

    def write(script: str) -> None:
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return write


def test_every_gpu_is_listed(program: Callable[[str], None]) -> None:
    program("echo 'NVIDIA L4, 550.54.15, 8.9, 23034'; echo 'A, B, 535.1, 9.0, 81559'")
    assert nvidia_smi.gpus() == (
        Gpu("NVIDIA L4", "8.9", "550.54.15", 22.5),
        Gpu("A, B", "9.0", "535.1", 79.6),
    )


def test_without_the_program_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidia_smi.gpus() == ()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'no driver' >&2; exit 9", "no driver"),
        ("exit 3", "status 3"),
        ("echo 'not a table'", "it printed 'not a table'"),
    ],
)
def test_a_failure_is_an_error_of_one_line(
    program: Callable[[str], None], script: str, reason: str
) -> None:
    program(script)
    with pytest.raises(HostError, match=f"nvidia-smi failed: {reason}") as caught:
        nvidia_smi.gpus()
    assert caught.value.remedy == "Check the NVIDIA driver."
