"""Whole conversions to TensorRT on a host with a double of it: the order, the gate, the files.

Names and signatures are those of the real bindings; numbers come from the ONNX graph itself. What
an engine computes, and how fast, needs a GPU.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gpu_host import PLAN, GpuHost
from quick import quicken
from trace_once import trace_once
from trt_double import Double, installed

from resnet_convert import Conversion, Request, convert, run
from resnet_convert.build_plan import PlanBuild, build_plan
from resnet_convert.parity import latencies
from resnet_convert.stage_log import Silent
from resnet_serve import cuda, durable, listing, passport
from resnet_serve.cuda import Gpu
from resnet_serve.errors import ConversionError, HostError, InputFileError, ParityError, UsageError
from resnet_serve.passport import BuiltEngineFacts, EngineState
from resnet_serve.triton import config
from resnet_serve.triton.repository import Repository

DIGITS: dict[str, Any] = {
    "arch": "resnet20",
    "weights": "digits",
    "target": "tensorrt",
    "calibration": "digits",
    "calibration_images": 64,
    "validation": "digits",
    "validation_images": 40,
    "name": "digits",
}
Start = Callable[..., GpuHost]


@pytest.fixture
def start(
    double: Callable[..., Double], api: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Start]:
    """Give this host a double of a GPU and of this version of TensorRT."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    quicken(monkeypatch, cores=None)
    monkeypatch.setattr(latencies, "LATENCY_SECONDS", 0.0)
    monkeypatch.setattr(latencies, "ENGINE_SECONDS", 0.0)
    trace_once(monkeypatch)
    with ExitStack() as stack:

        def seem(precision: str, **host: Any) -> GpuHost:
            found = GpuHost(api.version, precision, **host)
            monkeypatch.setattr(cuda, "open_device", found.open)
            stack.enter_context(installed(double(found.behaviours())))
            return found

        yield seem


def converted(tmp_path: Path, precision: str, **options: Any) -> Conversion:
    return convert(
        **{**DIGITS, "precision": precision, "repository": tmp_path / "models", **options}
    )


def stamped(conversion: Conversion) -> passport.Passport:
    assert conversion.path is not None
    return passport.read(conversion.path / passport.FILE_NAME)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
def test_a_plan_is_built_inspected_judged_and_deployed(
    start: Start, tmp_path: Path, precision: str, api: Any
) -> None:
    start(precision)
    conversion = converted(tmp_path, precision)
    assert conversion.missing is None
    assert [stage.name for stage in conversion.stages][-6:] == [
        "lint", "engine", "inspect", "parity", "latency", "deploy"
    ]  # fmt: skip
    assert conversion.verdict.passed
    first = conversion.verdict.checks[0]
    assert (first.name, first.found) == (
        "precision in the engine",
        f"19 of 19 convolutions {precision.upper()}",
    )
    assert conversion.measurements.latencies.runtime == "tensorrt"
    assert conversion.path is not None
    plan = (conversion.path / "model.plan").read_bytes()
    assert plan.startswith(PLAN)
    engine = stamped(conversion).engine
    assert isinstance(engine, BuiltEngineFacts)
    assert engine.tensorrt == api.version
    assert engine.gpu.name == "NumPy"
    assert engine.plan_sha256 == durable.sha256(plan)
    assert engine.inspection["residuals_fused"] == 9
    assert set(engine.latency) == {8}
    (row,) = listing.rows(Repository(conversion.request.repository).deployed())
    assert (row["engine"], row["precision"]) == ("built", precision)
    assert row["speedup"] > 0
    report = (conversion.path / "report.html").read_text(encoding="utf-8")
    assert f"TensorRT {api.version}" in report
    assert "19 of 19 convolutions" in report
    assert "plan is not built" not in report


@pytest.mark.parametrize("target", [None, "auto"])
def test_a_gpu_host_makes_a_plan_unasked(start: Start, tmp_path: Path, target: str | None) -> None:
    host = start("fp16")
    conversion = converted(tmp_path, "fp16", target=target, validation_images=8)
    assert conversion.target.name == "tensorrt"
    assert conversion.plan is not None
    assert "--target tensorrt" in conversion.request.command()
    assert host.device.closed == host.opened == 2


def test_a_tensorrt_that_cannot_be_used_is_said(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("fp32")

    def no_driver(index: int = 0) -> cuda.Device:
        raise HostError("this host has no NVIDIA driver")

    monkeypatch.setattr(cuda, "open_device", no_driver)
    conversion = converted(tmp_path, "fp32", target=None, validation_images=8)
    assert conversion.target.name == "onnxruntime"
    assert any("no NVIDIA driver" in line for line in conversion.warnings)


def test_the_configuration_is_for_the_plan(start: Start, tmp_path: Path) -> None:
    start("fp16", profiles=("1:2:4", "4:8:16"))
    conversion = converted(tmp_path, "fp16", batch=("1:2:4", "4:8:16"), instances=2)
    text = (tmp_path / "models" / "digits" / "config.pbtxt").read_text(encoding="utf-8")
    message = config.parse(text)
    assert (message.platform, message.backend) == ("tensorrt_plan", "")
    assert (message.default_model_filename, message.max_batch_size) == ("model.plan", 16)
    assert list(message.instance_group[0].profile) == ["0", "1"]
    assert conversion.serving.max_batch_size == 16
    ensemble = config.parse(
        (tmp_path / "models" / "digits_image" / "config.pbtxt").read_text(encoding="utf-8")
    )
    assert ensemble.max_batch_size == 16


def test_a_precision_that_is_not_in_the_engine_deploys_nothing(
    start: Start, tmp_path: Path
) -> None:
    start("fp16", fell_back={"layer3.1.conv1": "fp32"})
    with pytest.raises(ParityError) as refusal:
        converted(tmp_path, "fp16")
    assert "18 of 19 convolutions FP16 (layer3.1.conv1 is fp32)" in str(refusal.value)
    assert not (tmp_path / "models").exists()


def test_an_engine_that_computes_something_else_deploys_nothing(
    start: Start, tmp_path: Path
) -> None:
    start("fp16", wrong_by=3.0)
    with pytest.raises(ParityError, match="nothing was deployed: cosine of the logits"):
        converted(tmp_path, "fp16")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("asked", "level"), [("ampere+", "AMPERE_PLUS"), ("same", "SAME_COMPUTE_CAPABILITY")]
)
def test_an_engine_for_other_gpus_says_so_itself(
    start: Start, tmp_path: Path, asked: str, level: str
) -> None:
    start("fp16")
    with pytest.raises(ConversionError, match=rf"is none, requested was {re.escape(asked)}"):
        converted(tmp_path, "fp16", hardware_compat=asked)
    start("fp16", hardware=level)
    engine = stamped(converted(tmp_path, "fp16", hardware_compat=asked)).engine
    assert engine is not None
    assert engine.hardware_compatibility == asked


def test_forced_it_is_stamped(start: Start, tmp_path: Path) -> None:
    start("fp16", fell_back={"conv1": "fp32"})
    conversion = converted(tmp_path, "fp16", force=True)
    assert stamped(conversion).overridden


def test_a_container_that_could_not_load_the_plan_is_said_before_the_work(
    start: Start, tmp_path: Path, api: Any
) -> None:
    start("fp16")
    told: list[str] = []

    class Told(Silent):
        def stage(self, name: str) -> None:
            told.append(name)

    tag = "26.09" if api.version.startswith("10") else "26.05"
    with pytest.raises(HostError, match=rf"would not load in .*tritonserver:{tag}-py3"):
        options = {**DIGITS, "precision": "fp16", "repository": tmp_path / "models"}
        run(Request(**options, triton=tag), Told())
    assert told == []


def test_fp8_needs_a_gpu_that_has_it(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = start("fp8")
    old = Gpu("NVIDIA A100", "8.0", "580.1", 80.0)
    monkeypatch.setattr(type(host.device), "describe", lambda self: old)
    with pytest.raises(HostError, match=r"fp8 engines need .* 8\.9, the NVIDIA A100"):
        converted(tmp_path, "fp8")


def prepared(tmp_path: Path, precision: str = "int8", **options: Any) -> Conversion:
    return converted(tmp_path, precision, prepare_only=True, **options)


def built(directory: Path, tmp_path: Path, **options: Any) -> PlanBuild:
    return build_plan(directory, Silent(), timing_cache=tmp_path / "timing", **options)


def test_prepared_on_one_host_built_on_another(start: Start, tmp_path: Path, api: Any) -> None:
    conversion = prepared(tmp_path)
    host = start("int8")
    assert conversion.path is not None
    assert not (conversion.path / "model.plan").exists()
    assert stamped(conversion).engine_state is EngineState.NOT_BUILT
    made = built(tmp_path / "models" / "digits", tmp_path)
    assert made.path == conversion.path
    assert host.opened == 1
    assert made.verdict.passed
    assert made.measurements.decisions.images == 40
    assert made.measurements.decisions.top1_agreement == (
        conversion.measurements.decisions.top1_agreement
    )
    engine = stamped(conversion).engine
    assert isinstance(engine, BuiltEngineFacts)
    assert engine.tensorrt == api.version
    assert engine.gate is not None
    assert engine.gate.passed
    assert engine.parity is not None
    assert engine.parity.runtime == "tensorrt"
    plan = (conversion.path / "model.plan").read_bytes()
    assert engine.plan_sha256 == durable.sha256(plan)
    assert json.loads(json.dumps(made.to_json()))["state"] == "built"
    again = built(conversion.path, tmp_path)
    assert again.record.built is not None
    assert again.record.built.engine.timing_cache_reused


def test_what_was_prepared_can_be_overridden_where_it_is_built(
    start: Start, tmp_path: Path
) -> None:
    conversion = prepared(tmp_path, workspace=100)
    start("int8")
    assert conversion.path is not None
    made = built(conversion.path, tmp_path, level=5)
    assert (made.record.options.level, made.record.options.workspace_mib) == (5, 100)


@pytest.mark.parametrize("host", [{"fell_back": {"conv1": "fp16"}}, {"wrong_by": 3.0}])
def test_a_plan_that_is_refused_is_not_written(
    start: Start, tmp_path: Path, host: dict[str, Any]
) -> None:
    conversion = prepared(tmp_path)
    start("int8", **host)
    assert conversion.path is not None
    before = sorted(path.name for path in conversion.path.iterdir())
    with pytest.raises(ParityError, match="no plan was written"):
        built(conversion.path, tmp_path)
    assert sorted(path.name for path in conversion.path.iterdir()) == before
    assert stamped(conversion).engine_state is EngineState.NOT_BUILT
    forced = built(conversion.path, tmp_path, force=True)
    assert not forced.verdict.passed
    assert stamped(conversion).overridden


def test_a_model_that_is_not_its_passports(start: Start, tmp_path: Path) -> None:
    conversion = prepared(tmp_path, "fp16")
    start("fp16")
    assert conversion.path is not None
    model = conversion.path / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(InputFileError, match="SHA-256 differs"):
        built(conversion.path, tmp_path)
    model.unlink()
    with pytest.raises(InputFileError, match="no such file"):
        built(conversion.path, tmp_path)


def test_a_graph_that_breaks_a_rule_is_refused_before_the_build(
    start: Start, tmp_path: Path
) -> None:
    """A u8 graph for ONNX Runtime in the place of the one for TensorRT."""
    conversion = prepared(tmp_path, "int8")
    other = converted(tmp_path, "int8", target="onnxruntime", name="cpu")
    start("int8")
    assert conversion.path is not None
    assert other.path is not None
    data = (other.path / "model.onnx").read_bytes()
    (conversion.path / "model.onnx").write_bytes(data)
    stamp = stamped(conversion)
    stamp = replace(stamp, model=replace(stamp.model, sha256=durable.sha256(data)))
    (conversion.path / passport.FILE_NAME).write_bytes(stamp.to_bytes())
    with pytest.raises(ConversionError, match="TensorRT rule T1") as refusal:
        built(conversion.path, tmp_path)
    assert refusal.value.exit_code == 5
    assert "--target tensorrt" in str(refusal.value)


def test_a_model_for_another_target(start: Start, tmp_path: Path) -> None:
    other = converted(tmp_path, "fp32", target="onnxruntime", name="cpu")
    start("fp32")
    assert other.path is not None
    with pytest.raises(UsageError, match=r"converted for onnxruntime.*--target tensorrt"):
        built(other.path, tmp_path)


def test_a_directory_that_is_no_model(start: Start, tmp_path: Path) -> None:
    start("fp32")
    with pytest.raises(InputFileError, match="no such directory"):
        built(tmp_path / "nowhere", tmp_path)
    with pytest.raises(InputFileError, match="no model that resnet-convert deployed"):
        built(tmp_path, tmp_path)
