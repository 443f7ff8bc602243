"""TensorRT-RTX on a real GPU: the 64 bytes with which an engine says whether this GPU can run it.

Data-centre GPUs of the Hopper and Blackwell generations are not supported by it: there the refusal
is what is tested.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet_convert import convert
from resnet_convert.graph.fold import fold
from resnet_convert.graph.half import halve
from resnet_convert.graph.model_file import serialize
from resnet_convert.graph.trace import trace
from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_convert.tensorrt.engine import build
from resnet_convert.tensorrt.judging.verdict import DEFAULT_TARGETS
from resnet_serve import passport, weights
from resnet_serve.architectures import find
from resnet_serve.cuda.nvidia_smi import gpus
from resnet_serve.errors import HostError, InputFileError
from resnet_serve.passport import EngineState
from resnet_serve.runtimes import tensorrt
from resnet_serve.runtimes.profiles import Profile
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT_RTX
from resnet_serve.runtimes.tensorrt_log import Log
from resnet_serve.triton.repository import Repository
from resnet_serve.verification import host

pytestmark = pytest.mark.gpu
SUPPORTED = set(DEFAULT_TARGETS)
HEADER_BYTES = 64


@pytest.fixture(scope="module")
def rtx() -> Any:
    if not gpus():
        pytest.skip("this host has no GPU")
    try:
        return TENSORRT_RTX.library()
    except HostError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def plan(rtx: Any) -> bytes:
    """The digits network in FP16, for the targets of every default build."""
    model = trace(weights.load("digits", find("resnet20")).network(), (3, 32, 32)).model
    fold(model)
    halve(model, "fp16")
    options = BuildOptions((Profile(1, 4, 8),))
    return build(serialize(model), options, tuple(sorted(SUPPORTED)), flavour=TENSORRT_RTX).plan


def test_the_header_says_whether_this_gpu_can_run_it(
    rtx: Any, plan: bytes, record_property: Any
) -> None:
    log = Log(TENSORRT_RTX)
    runtime = rtx.Runtime(log.logger)
    assert runtime.engine_header_size == HEADER_BYTES
    validity, reasons = runtime.get_engine_validity(plan[:HEADER_BYTES])
    capability = gpus()[0].compute_capability
    record_property("validity", f"{validity} {reasons} on {capability}")
    unsupported = int(rtx.EngineInvalidityDiagnostics.UNSUPPORTED_CC)
    if capability in SUPPORTED:
        assert validity != rtx.EngineValidity.INVALID, log.errors
        assert runtime.deserialize_cuda_engine(plan) is not None, log.errors
        return
    assert validity == rtx.EngineValidity.INVALID
    assert int(reasons) & unsupported, f"{reasons}: {log.errors}"
    assert runtime.deserialize_cuda_engine(plan) is None


def test_damage_to_the_header_is_noticed(rtx: Any, plan: bytes) -> None:
    runtime = rtx.Runtime(Log(TENSORRT_RTX).logger)
    validity, _ = runtime.get_engine_validity(bytes(HEADER_BYTES))
    assert validity == rtx.EngineValidity.INVALID


def test_the_runtime_loads_it_or_says_why_not(rtx: Any, plan: bytes) -> None:
    capability = gpus()[0].compute_capability
    if capability in SUPPORTED:
        with tensorrt.load(plan, flavour=TENSORRT_RTX) as model:
            assert model.run(np.zeros((2, 3, 32, 32), np.float32)).shape == (2, 10)
        return
    with pytest.raises(InputFileError) as refusal:
        tensorrt.load(plan, flavour=TENSORRT_RTX)
    said = f"the engine cannot run on this GPU, which has compute capability {capability}"
    assert said in refusal.value.what
    assert "--target tensorrt" in (refusal.value.remedy or "")


def test_verify_proves_the_engine_here_or_says_that_it_does_not_fit(
    rtx: Any, tmp_path: Path, record_property: Any
) -> None:
    capability = gpus()[0].compute_capability
    conversion = convert(
        arch="resnet20",
        weights="digits",
        target="tensorrt-rtx",
        validation="digits",
        validation_images=64,
        repository=tmp_path,
    )
    assert conversion.path is not None
    report = host.verify(Repository(tmp_path).deployed(), host.describe())
    engine = next(check for check in report.checks if check.subject == "engine")
    record_property("engine", f"{engine.verdict}: {engine.found}")
    state = passport.read(conversion.path / passport.FILE_NAME).engine_state
    if capability in SUPPORTED:
        assert engine.verdict == "ok", engine.found
        assert f"proved on {gpus()[0].name}" in engine.found
        assert state is EngineState.BUILT
        return
    assert engine.verdict == "unknown"
    assert state is EngineState.NOT_RUN
    with pytest.raises(HostError, match=f"this machine has .* \\({capability}\\)"):
        report.require()
