"""Compositions of members whose TensorRT plans are built: on their GPU the plans themselves run.

Names and signatures are those of the real bindings; the plan's numbers come from the ONNX graph.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from gpu_host import GpuHost
from repositories import at
from tensorrt_conversions import Start, converted

from resnet_convert.ensembles import compose
from resnet_serve import passport
from resnet_serve.errors import HostError, InputFileError, ParityError
from resnet_serve.passport import ComposedPassport, EngineState
from resnet_serve.runtimes import tensorrt as runtime

GIVEN = {"validation": "digits", "validation_images": 16}


@pytest.fixture
def gpu(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[GpuHost, Path]:
    """A host with a GPU, and a repository with `digits`, whose plan was built on it."""
    host = start("fp16")
    monkeypatch.setattr(runtime, "open_device", host.open)
    converted(tmp_path, "fp16", validation_images=16)
    return host, tmp_path / "models"


def member(repository: Path) -> passport.MemberFacts:
    stamp = passport.read(at(repository, f"digits_tencrop/1/{passport.FILE_NAME}"))
    assert isinstance(stamp, ComposedPassport)
    assert stamp.parity.runtime in ("tensorrt", "emulation")
    assert (stamp.parity.runtime == "emulation") is stamp.members[0].emulated
    return stamp.members[0]


def test_the_plan_of_a_member_runs_on_its_gpu(gpu: tuple[GpuHost, Path]) -> None:
    host, repository = gpu
    runs = host.device.log.count("execute")
    made = compose.ten_crop("digits", scales=(36,), repository=repository, **GIVEN)
    assert host.device.log.count("execute") > runs
    assert host.device.closed == host.opened
    assert not any("emulated" in each for each in made.warnings)
    assert (member(repository).engine, member(repository).emulated) == (EngineState.BUILT, False)


def test_a_plan_that_computes_something_else_is_refused(
    gpu: tuple[GpuHost, Path], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, repository = gpu
    host._wrong_by = 3.0
    with pytest.raises(ParityError, match="nothing was deployed"):
        compose.ten_crop("digits", scales=(36,), repository=repository, **GIVEN)
    assert host.device.closed == host.opened


def test_without_its_gpu_it_is_emulated_for_a_stated_reason(
    gpu: tuple[GpuHost, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, repository = gpu

    def no_driver() -> None:
        raise HostError("this host has no NVIDIA driver")

    monkeypatch.setattr(runtime, "open_device", no_driver)
    made = compose.ten_crop("digits", scales=(36,), repository=repository, **GIVEN)
    assert any("(digits: this host has no NVIDIA driver)" in each for each in made.warnings)
    assert (member(repository).engine, member(repository).emulated) == (EngineState.BUILT, True)


def test_a_plan_that_is_not_its_passport_s_is_refused(gpu: tuple[GpuHost, Path]) -> None:
    _, repository = gpu
    (repository / "digits" / "1" / "model.plan").write_bytes(b"another plan")
    with pytest.raises(InputFileError, match=r"model\.plan: is missing, or not the file"):
        compose.ten_crop("digits", scales=(36,), repository=repository, **GIVEN)
