"""Whole conversions to TensorRT on a host with a double of it: the order, the gate, the files.

Names and signatures are those of the real bindings; numbers come from the ONNX graph itself. What
an engine computes, and how fast, needs a GPU.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from gpu_host import PLAN
from repositories import at
from tensorrt_conversions import DIGITS, Start, converted, stamped

from resnet_convert import Request, run
from resnet_convert.stage_log import Silent
from resnet_serve import cuda, durable, listing
from resnet_serve.cuda import Gpu
from resnet_serve.errors import ConversionError, HostError, ParityError
from resnet_serve.passport import BuiltEngineFacts
from resnet_serve.triton import config
from resnet_serve.triton.repository import Repository


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
    assert row["speedup"] is not None or "host busy" in row["speedup_not_stated"]
    report = (conversion.path / "report.html").read_text(encoding="utf-8")
    assert f"TensorRT {api.version}" in report
    assert "19 of 19 convolutions" in report
    assert "plan is not built" not in report


def test_a_gpu_host_makes_a_plan_unasked(start: Start, tmp_path: Path) -> None:
    host = start("fp16")
    conversion = converted(tmp_path, "fp16", target=None, validation_images=8)
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
        at(tmp_path / "models", "digits_image/config.pbtxt").read_text(encoding="utf-8")
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
