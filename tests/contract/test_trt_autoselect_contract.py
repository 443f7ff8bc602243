"""`--target auto` on a GPU host: TensorRT enters the comparison, is judged, and wins or loses it.

The host is a double; the time that its engine takes is the test's choice, so no speed is shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tensorrt_conversions import Start, converted, stamped

from resnet_convert import Request
from resnet_convert.autoselect import measured
from resnet_convert.autoselect.entrants import EntrantResult
from resnet_convert.parity import opening, throughput
from resnet_convert.pipeline import compare
from resnet_convert.request.default_target import default_target
from resnet_serve.errors import HostError
from resnet_serve.passport import BuiltEngineFacts

SLOW_S = 0.05  # against the milliseconds of a CPU


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "LATENCY_SECONDS", 0.02)
    monkeypatch.setattr(throughput, "SECONDS", 0.05)


def entered(results: tuple[EntrantResult, ...]) -> EntrantResult:
    (found,) = (each for each in results if each.entrant.target == "tensorrt")
    return found


def auto(tmp_path: Path, **options: Any) -> Any:
    return converted(tmp_path, "fp32", target="auto", validation_images=16, **options)


def test_an_engine_that_is_slower_loses_to_a_cpu(start: Start, tmp_path: Path) -> None:
    host = start("fp32", run_s=SLOW_S)
    conversion = auto(tmp_path)
    found = entered(conversion.autoselection.results)
    assert found.problem is None
    assert found.speedup is not None
    assert not conversion.target.gpu
    assert conversion.plan is None
    assert stamped(conversion).engine is None
    assert host.device.closed == host.opened
    assert not host.device.memory


def test_the_only_one_left_wins_and_its_plan_is_deployed(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(target: str, *_: Any) -> Any:
        raise HostError(f"this needs {target}, which is not installed here")

    monkeypatch.setattr(opening, "open_on_cpu", missing)
    host = start("fp32")
    conversion = auto(tmp_path)
    winner = conversion.autoselection.winner
    assert str(winner.entrant) == "tensorrt fp32 on the GPU"
    assert winner.size_bytes == len(conversion.plan)
    assert conversion.missing is None
    stamp = stamped(conversion)
    assert stamp.target == "tensorrt"
    assert isinstance(stamp.engine, BuiltEngineFacts)
    assert "--target tensorrt" in stamp.command
    assert host.device.closed == host.opened


def test_an_engine_that_computes_something_else_is_not_timed(start: Start, tmp_path: Path) -> None:
    start("fp32", wrong_by=3.0)
    found = entered(auto(tmp_path).autoselection.results)
    assert "no parity: cosine of the logits" in str(found.problem)
    assert found.times is None


def test_for_throughput_it_is_one_instance(start: Start, tmp_path: Path) -> None:
    start("fp32", run_s=SLOW_S)
    conversion = auto(tmp_path, optimize="throughput")
    found = entered(conversion.autoselection.results)
    assert found.images_per_s is not None
    assert found.entrant.instances == 1


def test_a_comparison_has_its_rows(start: Start, tmp_path: Path) -> None:
    host = start("fp16", run_s=SLOW_S)
    request = Request(arch="resnet20", weights="digits", validation="digits", validation_images=16)
    found = compare(request)
    rows = {
        row.result.entrant.precision: row
        for row in found.comparison.rows
        if row.result.entrant.target == "tensorrt"
    }
    assert rows["fp16"].passed
    assert rows["fp16"].computed_in == "19 of 19 convolutions FP16"
    assert rows["fp16"].note == "on the GPU, copies included; PyTorch on this CPU"
    assert "0 of 19 convolutions FP32" in str(rows["fp32"].result.problem)
    assert "--calibration" in str(rows["int8"].result.problem)
    assert host.device.closed == host.opened


def test_what_only_tensorrt_has_is_not_compared(start: Start) -> None:
    start("fp8")
    asked = Request(arch="resnet20", target="auto", precision="fp8", calibration="digits")
    assert default_target(asked)[0].target == "tensorrt"
    assert default_target(Request(arch="resnet20", target="auto"))[0].target == "auto"
