"""`verify --host` of versions for TensorRT-RTX: an engine is run where it fits, and only there.

On a double of its real bindings with a scripted engine, and what the real library says of an
engine on a host without a driver.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rtx
from memory_device import MemoryDevice
from passports import converted, plan
from scripted_engine import CLASSES, ScriptedEngine, answer
from trt_bindings import RTX, Api, describe
from trt_double import Double, installed

from resnet_serve import durable, engine_targets, passport
from resnet_serve.activation import SOFTMAX
from resnet_serve.comparison import recorded
from resnet_serve.cuda import Gpu, nvidia_smi
from resnet_serve.errors import HostError, InputFileError, ParityError
from resnet_serve.passport import BuiltEngineFacts, EngineState, TensorContractFacts
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.verification import engine_run, host

L4 = Gpu("NVIDIA L4", "8.9", "580.1", 24.0)
H200 = Gpu("NVIDIA H200", "9.0", "580.1", 139.0)
STEPS = Preprocessing(resize=4, crop=(4, 4))
PLAN = b"a plan".ljust(64, b".")
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)


@dataclass
class Version:
    """A deployed version, and this machine; `run()` is `verify --host`."""

    deployed: Deployed
    machine: host.Machine
    device: MemoryDevice

    def run(self) -> host.Report:
        return host.verify([self.deployed], self.machine)

    def engine_row(self) -> host.HostCheck:
        return self.run().checks[-1]

    @property
    def stamped(self) -> BuiltEngineFacts:
        found = passport.read(self.deployed.path / passport.FILE_NAME).engine
        assert isinstance(found, BuiltEngineFacts)
        return found


Make = Callable[..., Version]


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes a version whose engine fits this machine, and never ran."""
    api: Api = describe(RTX)
    monkeypatch.setattr(engine_targets, "installed", lambda _: RTX)
    doubles: list[Any] = []

    def make(gpu: Gpu = L4, validity: str = "VALID", wrong_by: float = 0.0) -> Version:
        folder = tmp_path / "d" / "1"
        folder.mkdir(parents=True)
        (folder / "model.rtx").write_bytes(PLAN)
        (folder / "model.onnx").write_bytes(b"a graph")
        names = [str(index) for index in range(len(PIXELS))]
        np.savez(
            folder / recorded.FILE_NAME,
            name="noise",
            pixels=PIXELS,
            names=names,
            logits=answer(PIXELS) + wrong_by * np.eye(len(PIXELS), CLASSES, dtype=np.float32),
        )
        engine = plan(
            state=EngineState.NOT_RUN,
            gpu=None,
            targets=("8.6", "8.9"),
            tensorrt=RTX,
            plan_sha256=durable.sha256(PLAN),
        )
        base = converted()
        stamped = replace(
            base,
            name="d",
            target="tensorrt-rtx",
            precision="fp16",
            classes=CLASSES,
            outputs={"logits": (CLASSES,)},
            model=replace(base.model, sha256=durable.sha256(b"a graph")),
            engine=engine,
            contract=TensorContractFacts(
                input="uint8",
                preprocessing=STEPS,
                max_batch_size=8,
                instances=1,
                threads=1,
                activation=SOFTMAX,
            ),
        )
        (folder / passport.FILE_NAME).write_bytes(stamped.to_bytes())
        device = MemoryDevice()
        script = ScriptedEngine(device, profiles=("1:4:8",))
        double = Double(
            api,
            {
                **script.behaviours(),
                "Runtime.engine_header_size": 64,
                "Runtime.get_engine_validity": lambda *_: answered(validity),
                "IExecutionContext.is_stream_capturable": True,
                "IRuntimeCache.serialize": b"compiled kernels",
            },
        )
        doubles.append(installed(double))
        doubles[-1].__enter__()
        monkeypatch.setattr(MemoryDevice, "describe", lambda _: gpu)
        monkeypatch.setattr(engine_run, "open_device", lambda: device)
        machine = host.Machine(stamped.host, (gpu,))
        return Version(Deployed("d", 1, folder, stamped), machine, device)

    yield make
    for each in doubles:
        each.__exit__(None, None, None)


def answered(validity: str) -> tuple[Any, int]:
    import tensorrt_rtx_bindings as library

    bits = library.EngineInvalidityDiagnostics
    reasons = 0 if validity != "INVALID" else int(bits.OLD_CUDA_DRIVER)
    return getattr(library.EngineValidity, validity), reasons


def test_it_is_proved_here_and_the_passport_says_where(version: Make) -> None:
    made = version()
    report = made.run()
    report.require()
    last = report.checks[-1]
    assert (last.subject, last.verdict) == ("engine", "ok")
    assert last.found == (
        "proved on NVIDIA L4: 100.00 % of 12 decisions agree with PyTorch; the passport says so"
    )
    assert made.device.log.count("execute") > 1
    assert made.device.closed == 1
    engine = made.stamped
    assert (engine.state, engine.gpu) == (EngineState.BUILT, L4)
    assert engine.targets == ("8.6", "8.9")
    assert engine.parity is not None
    assert (engine.parity.runtime, engine.parity.images) == ("tensorrt-rtx", "noise")
    assert engine.gate is not None
    assert engine.gate.passed
    assert (made.deployed.path / "model.rtx.runtime-cache").read_bytes() == b"compiled kernels"


def test_other_outputs_are_refused_and_nothing_is_recorded(version: Make) -> None:
    made = version(wrong_by=1e6)
    before = (made.deployed.path / passport.FILE_NAME).read_bytes()
    report = made.run()
    assert report.checks[-1].verdict == "refused"
    with pytest.raises(ParityError, match="on NVIDIA L4 it is not close enough") as refusal:
        report.require()
    assert refusal.value.exit_code == 3
    assert "cosine of the logits" in refusal.value.what
    assert (made.deployed.path / passport.FILE_NAME).read_bytes() == before


def test_an_engine_that_is_not_valid_here_is_not_run(version: Make) -> None:
    made = version(validity="INVALID")
    report = made.run()
    with pytest.raises(HostError, match=r"does not run here: .*driver of this GPU is too old"):
        report.require()
    assert "build-plan" in report.checks[-1].remedy
    assert made.stamped.state is EngineState.NOT_RUN


@pytest.mark.parametrize("gpus", [(), None, (H200,)])
def test_nothing_is_run_where_it_does_not_fit(version: Make, gpus: tuple[Gpu, ...] | None) -> None:
    made = version()
    made.machine = replace(made.machine, gpus=gpus, gpu_problem="nvidia-smi fails")
    last = made.engine_row()
    assert last.verdict == "unknown"
    assert last.found == "it was built but never run; its graph was proved in an emulation"
    assert not made.device.log
    assert made.stamped.state is EngineState.NOT_RUN


def test_a_damaged_engine_is_not_loaded(version: Make) -> None:
    made = version()
    (made.deployed.path / "model.rtx").write_bytes(PLAN + b"?")
    report = made.run()
    assert report.checks[-1].verdict == "unknown"
    with pytest.raises(InputFileError, match="plan: "):
        report.require()
    assert not made.device.log


def test_reference_outputs_that_cannot_be_read(version: Make) -> None:
    made = version()
    (made.deployed.path / recorded.FILE_NAME).unlink()
    last = made.engine_row()
    assert last.verdict == "differs"
    assert "does not hold the reference outputs" in last.found
    assert made.stamped.state is EngineState.NOT_RUN


def test_a_proof_elsewhere_is_no_proof_here(version: Make) -> None:
    made = version()
    made.run().require()
    stamped = passport.read(made.deployed.path / passport.FILE_NAME)
    made.deployed = replace(made.deployed, passport=stamped)
    made.machine = replace(made.machine, gpus=(H200,))
    last = made.engine_row()
    assert (last.verdict, last.found) == (
        "unknown",
        "it was proved on NVIDIA L4, and was not run now",
    )


def test_a_passport_that_cannot_be_written_is_said(
    version: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = version()

    def refuse(*_: Any) -> None:
        raise HostError("cannot write: read-only file system")

    monkeypatch.setattr(durable, "write", refuse)
    last = made.engine_row()
    assert last.verdict == "ok"
    assert last.found.endswith("the passport does not say so (cannot write: read-only file system)")
    assert made.stamped.state is EngineState.NOT_RUN


ASK = """
import json
from resnet_convert.tensorrt.build_options import BuildOptions
from resnet_convert.tensorrt.engine import build
from resnet_serve.runtimes.profiles import Profile
from resnet_serve.runtimes.tensorrt_contexts import validity
from resnet_serve.runtimes.tensorrt_flavours import TENSORRT_RTX
from resnet_serve.runtimes.tensorrt_log import Log
import onnx
head = '<ir_version: 8, opset_import: ["": 17]>'
text = head + 'm (float16[N, 8] x) => (float16[N, 8] y) { y = Relu(x) }'
model = onnx.parser.parse_model(text).SerializeToString()
plan = build(model, BuildOptions((Profile(1, 1, 2),)), ("8.9",), flavour=TENSORRT_RTX).plan
library, log = TENSORRT_RTX.library(), Log(TENSORRT_RTX)
runtime = library.Runtime(log.logger)
def asked(data):
    return validity(library, runtime, data, "8.9")
print(json.dumps([asked(plan), log.last_error, asked(bytes(64)), asked(plan[:32])]))
"""


def test_what_the_real_library_says_without_a_driver() -> None:
    """Of an engine that the driver is missing, of anything else that it is none: never that it is
    valid.
    """
    if nvidia_smi.gpus():
        pytest.skip("this host has a GPU; tests/gpu asks there")
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env=rtx.environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    engine, error, zeros, half = json.loads(done.stdout.splitlines()[-1])
    assert engine == "it is not valid here"
    assert "CUDA driver" in error
    assert zeros == half == "it is no engine, or damaged"
