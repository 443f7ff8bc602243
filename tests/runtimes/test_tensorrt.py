"""The TensorRT runtime on a host without TensorRT: what is said. tests/contract has the rest."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from resnet_serve.errors import HostError, InputFileError
from resnet_serve.runtimes import tensorrt as runtime
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT
from resnet_serve.runtimes.tensorrt_log import Log

without_tensorrt = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed here"
)


@pytest.mark.parametrize("kind", ["missing", "a folder"])
def test_a_plan_that_cannot_be_read(kind: str, tmp_path: Path) -> None:
    plan = tmp_path / "model.plan"
    if kind == "a folder":
        plan.mkdir()
    with pytest.raises(InputFileError, match="the plan cannot be read") as refusal:
        runtime.load(plan)
    assert refusal.value.where == str(plan)
    assert "\n" not in str(refusal.value)


@without_tensorrt
@pytest.mark.parametrize(
    "use", [TENSORRT.version, lambda: Log(TENSORRT), lambda: runtime.load(b"a plan")]
)
def test_without_tensorrt(use: object) -> None:
    with pytest.raises(HostError, match="tensorrt, which is not installed here") as refusal:
        use()  # type: ignore[operator]
    assert refusal.value.exit_code == 4
    assert refusal.value.remedy == "pip install 'resnet-serve[tensorrt]'"


def test_it_says_that_it_never_ran_on_a_gpu() -> None:
    """To be changed with the first run that says otherwise."""
    assert "has ever run on a GPU" in (runtime.__doc__ or "")
