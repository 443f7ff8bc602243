"""`verify --host` of a plan that was built for compute capabilities."""

from __future__ import annotations

import pytest
from passports import plan

from resnet_serve import engine_targets
from resnet_serve.cuda.device import Gpu
from resnet_serve.passport import EngineState
from resnet_serve.runtimes import TARGETS

ROW = TARGETS["tensorrt-rtx"]
OK: engine_targets.Row = ("GPU", "ok", "", "")
NONE: engine_targets.Row = ("GPU", "differs", "this machine has none", "see: resnet-serve doctor")
L4, H200 = (Gpu(name, cc, "615.61", 24.0) for name, cc in (("NVIDIA L4", "8.9"), ("H200", "9.0")))
BUILT = {"tensorrt": "1.7.1.116", "gpu": None, "targets": ("8.6", "8.9")}


def found(
    monkeypatch: pytest.MonkeyPatch, *gpus: Gpu, here: str | None = "1.7.1.116"
) -> list[engine_targets.Row]:
    monkeypatch.setattr(engine_targets, "installed", lambda _: here)
    engine = plan(**{**BUILT, "state": EngineState.NOT_RUN})
    return list(engine_targets.checks(engine, ROW, gpus, OK if gpus else NONE))


def test_where_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    library, gpu = found(monkeypatch, L4)
    assert (library[1], gpu[1]) == ("ok", "ok")


def test_without_a_gpu_that_is_the_first_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = found(monkeypatch)
    assert rows[0] == NONE
    assert [row[0] for row in rows] == ["GPU", "TensorRT-RTX"]


@pytest.mark.parametrize(
    ("gpu", "remedy"),
    [
        (H200, "does not support this GPU: convert it with --target tensorrt"),
        (
            Gpu("GeForce RTX 5090", "12.0", "615.61", 31.8),
            "resnet-convert build-plan {path} --for 12.0",
        ),
    ],
)
def test_another_gpu_differs(monkeypatch: pytest.MonkeyPatch, gpu: Gpu, remedy: str) -> None:
    _, fits, differs = found(monkeypatch, L4, gpu)
    assert (fits[1], differs[1]) == ("ok", "differs")
    assert gpu.name in differs[2]
    assert remedy in differs[3]


@pytest.mark.parametrize(("here", "verdict"), [(None, "unknown"), ("1.6.1.120", "differs")])
def test_a_plan_belongs_to_one_version(
    monkeypatch: pytest.MonkeyPatch, here: str | None, verdict: str
) -> None:
    library = found(monkeypatch, L4, here=here)[0]
    assert library[1] == verdict
    assert library[3].endswith("pip install 'resnet-serve[tensorrt-rtx]'")
