"""The builds of ONNX Runtime as the doctor sees them: this host's own, and every other state."""

from __future__ import annotations

import sys
from pathlib import Path

import onnxruntime
import pytest
from quick import quicken

from resnet_convert import convert
from resnet_serve.cuda import nvidia_smi
from resnet_serve.doctor import onnxruntime_builds
from resnet_serve.doctor.onnxruntime_builds import Builds
from resnet_serve.runtimes.onnxruntime_cuda import CUDA

CPU_ALONE = ("AzureExecutionProvider", "CPUExecutionProvider")
WITH_CUDA = ("TensorrtExecutionProvider", CUDA, "CPUExecutionProvider")
ON_CPU = {"onnxruntime": "1.31.1"}
ON_GPU = {"onnxruntime-gpu": "1.31.1"}


@pytest.mark.parametrize(
    ("builds", "status", "said", "command"),
    [
        (
            Builds({**ON_CPU, **ON_GPU}, WITH_CUDA),
            "warning",
            "onnxruntime 1.31.1 and onnxruntime-gpu 1.31.1 are both installed and own the same "
            "files; imported is onnxruntime-gpu",
            "pip uninstall --yes onnxruntime onnxruntime-gpu",
        ),
        (
            Builds({**ON_CPU, **ON_GPU}, CPU_ALONE),
            "warning",
            "imported is onnxruntime",
            "pip uninstall --yes onnxruntime onnxruntime-gpu",
        ),
        (Builds({}), "missing", "not installed: no CUDA provider", "onnxruntime-gpu[cuda,cudnn]"),
        (Builds(ON_CPU, CPU_ALONE), "missing", "only for --accelerator cuda", "pip uninstall"),
        (
            Builds(ON_CPU, CPU_ALONE, wanted="this host has a GPU"),
            "warning",
            "onnxruntime 1.31.1: no CUDA provider, and this host has a GPU",
            "pip uninstall",
        ),
        (
            Builds(ON_GPU, WITH_CUDA, ("libcublasLt.so.13", "libcudnn.so.9")),
            "warning",
            "onnxruntime-gpu 1.31.1: libcublasLt.so.13, libcudnn.so.9 cannot be loaded",
            "pip install 'onnxruntime-gpu[cuda,cudnn]'",
        ),
        (Builds(ON_GPU, WITH_CUDA), "ok", "every library that it needs", ""),
    ],
)
def test_every_state_is_said_with_its_command(
    builds: Builds, status: str, said: str, command: str
) -> None:
    found = builds.finding()
    assert found.status == status
    assert said in found.found
    assert command in found.command
    assert found.needed_for == (), "nothing needs CUDA to work at all"


def test_the_build_of_this_host_is_the_one_that_is_imported(tmp_path: Path) -> None:
    providers, missing = onnxruntime_builds.probed()
    assert set(providers) == set(onnxruntime.get_available_providers())
    if CUDA not in providers:
        assert missing == ()
    found = onnxruntime_builds.examine(tmp_path)
    assert onnxruntime.__version__ in found.found


def test_a_package_that_cannot_be_imported_is_anothers_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 139\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    assert onnxruntime_builds.probed() == ((), ())


@pytest.mark.slow
def test_a_model_of_the_repository_may_want_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvidia_smi, "gpus", tuple)
    assert onnxruntime_builds.wanted(tmp_path / "missing") == ""
    assert onnxruntime_builds.wanted(tmp_path) == ""
    quicken(monkeypatch)
    convert(
        arch="resnet20",
        weights="digits",
        accelerator="cuda",
        precision="fp32",
        name="on_cuda",
        repository=tmp_path,
    )
    assert onnxruntime_builds.wanted(tmp_path) == "on_cuda was converted for it"
