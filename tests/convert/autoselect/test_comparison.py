"""The table of every runtime and precision: its reasons, its best, and what it says as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from resnet_convert.autoselect.comparison import Comparison, Row, left_out, rank, reasons
from resnet_convert.autoselect.entrants import Entrant, EntrantResult
from resnet_convert.autoselect.gpu import Gpu
from resnet_convert.request import Request
from resnet_serve.parity.latency import Latency, Ratio
from resnet_serve.precisions import PRECISIONS
from resnet_serve.runtimes import TARGETS, Target

GRAPHS: Any = {"fp32": "the FP32 graph", "int8": "the INT8 graph"}
REQUEST = Request(arch="resnet20", precision="auto", target="auto", calibration="digits")
FP32, INT8 = Entrant("onnxruntime", "fp32", 1, 2), Entrant("openvino", "int8", 1, 2)
REFUSED = Entrant("onnxruntime", "int8", 1, 2)


def timed(entrant: Entrant, speed: float, rate: float | None = None) -> EntrantResult:
    ratio = Ratio(speed, speed, speed)
    return EntrantResult(
        entrant, agreement=0.99, times=Latency(1, (1 / speed,)), speedup=ratio, images_per_s=rate
    )


def compared(aim: str = "latency") -> Comparison:
    """FP32 is faster at batch 1, INT8 has more images per second as two instances."""
    rates = [
        timed(FP32, 4.0, 300.0),
        timed(INT8, 3.0, 400.0),
        timed(replace(INT8, instances=2, threads=1), 3.0, 500.0),
    ]
    return Comparison.of(
        aim,
        order=[FP32, REFUSED, INT8],
        results=[timed(FP32, 4.0), timed(INT8, 3.0), EntrantResult(REFUSED, "no parity: SQNR")],
        rates=rates,
        graphs=GRAPHS,
        pytorch=Latency(1, (1.0,)),
    )


def test_every_runtime_in_every_precision_has_an_entry() -> None:
    found = reasons(REQUEST, 2)
    pairs = [(each.target, each.precision) for each in found]
    on_cpu = [name for name, row in TARGETS.items() if not row.gpu]
    assert pairs == [(target, kind) for target in on_cpu for kind in PRECISIONS]


def test_instances_share_the_cores() -> None:
    found = reasons(replace(REQUEST, instances=2), 5)
    assert {(each.instances, each.threads) for each in found} == {(2, 2)}


def test_what_cannot_run_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {(each.target, each.precision): why for each, why in reasons(REQUEST, 2).items()}
    assert found["onnxruntime", "int8"] is None
    assert found["onnxruntime", "bf16"] == "ONNX Runtime has no bf16"
    without = reasons(replace(REQUEST, calibration=None), 2)
    assert "--calibration" in str(without[Entrant("onnxruntime", "int8", 1, 2)])
    monkeypatch.setattr(Target, "installed", property(lambda row: row.name == "tensorrt"))
    found = {(each.target, each.precision): why for each, why in reasons(REQUEST, 2).items()}
    assert "not installed" in str(found["openvino", "fp32"])
    assert "--target tensorrt" in left_out()[0]
    monkeypatch.setattr(Target, "installed", property(lambda row: not row.gpu))
    assert left_out() == (
        "TensorRT is not compared: it is not installed here",
        f"{TARGETS['tensorrt-rtx'].title} is not compared: it is not installed here",
        "ONNX Runtime on CUDA is not compared: this host has no GPU",
    )


def test_what_a_gpu_here_can_run_has_entries() -> None:
    host: Any = object()
    both = Gpu(host, None)
    found = {each: why for each, why in reasons(REQUEST, 2, both).items() if each.on_gpu}
    pairs = {(each.title, each.precision) for each in found}
    assert pairs == {(way.title, kind) for way in both.ways for kind in PRECISIONS}
    why = {each.precision: said for each, said in found.items() if each.accelerator == "cuda"}
    assert (why["fp32"], why["fp16"]) == (None, None)
    assert "has no INT8 convolutions" in str(why["int8"])
    assert "has no BF16 kernels" in str(why["bf16"])
    engines = [said for each, said in found.items() if each.target == "tensorrt"]
    assert engines == [None] * len(PRECISIONS)
    (line,) = left_out(both)
    assert line.startswith(f"{TARGETS['tensorrt-rtx'].title} is not compared")
    without = reasons(replace(REQUEST, calibration=None), 2, both)
    assert "--calibration" in str(without[Entrant("tensorrt", "int8", 1, 2)])


def test_the_same_target_on_cpu_and_gpu_are_two_rows() -> None:
    on_gpu = replace(FP32, accelerator="cuda", instances=1)
    found = Comparison.of(
        "latency",
        order=[FP32, on_gpu],
        results=[timed(FP32, 4.0), timed(on_gpu, 8.0)],
        rates=[timed(FP32, 4.0, 300.0), timed(on_gpu, 8.0, 900.0)],
        graphs=GRAPHS,
        pytorch=Latency(1, (1.0,)),
    )
    assert [row.split and row.split.images_per_s for row in found.rows] == [300.0, 900.0]
    assert [found.is_best(row) for row in found.rows] == [False, True]
    assert "PyTorch on this CPU" in str(found.rows[1].note)
    written: Any = found.to_json()
    assert written["best"]["accelerator"] == "cuda"
    assert [row["accelerator"] for row in written["rows"]] == [None, "cuda"]
    assert found.best is not None
    assert found.selection(found.best).applied_to(REQUEST).for_cuda


def test_the_rows_keep_their_order_and_their_best_split() -> None:
    found = compared()
    assert [row.result.entrant for row in found.rows] == [FP32, REFUSED, INT8]
    splits = [
        row.split and (row.split.entrant.instances, row.split.images_per_s) for row in found.rows
    ]
    assert splits == [(1, 300.0), None, (2, 500.0)]
    assert [row.passed for row in found.rows] == [True, False, True]


@pytest.mark.parametrize(
    ("aim", "best"), [("latency", FP32), ("throughput", replace(INT8, instances=2, threads=1))]
)
def test_the_best_is_that_of_the_aim(aim: str, best: Entrant) -> None:
    found = compared(aim)
    assert found.best is not None
    assert found.best.entrant == best
    assert [row for row in found.rows if found.is_best(row)] == [
        row for row in found.rows if row.result.entrant.target == best.target and row.passed
    ]
    selection = found.selection(found.best)
    assert selection.winner.entrant == best
    assert selection.precise == GRAPHS[best.precision]
    assert selection.results[-1].problem
    assert selection.applied_to(REQUEST).instances == best.instances


def test_where_none_passes_there_is_no_best() -> None:
    refused = EntrantResult(REFUSED, "no parity: SQNR")
    found = Comparison.of(
        "latency", order=[REFUSED], results=[refused], rates=[], graphs=GRAPHS, pytorch=None
    )
    assert found.best is None
    assert found.passed == ()
    assert found.to_json()["best"] is None


def test_the_json_has_every_row() -> None:
    found = json.loads(json.dumps(compared().to_json()))
    assert found["best"] == {
        "target": "onnxruntime", "accelerator": None, "precision": "fp32",
        "instances": 1, "threads": 2,
    }  # fmt: skip
    first, refused, last = found["rows"]
    assert first["passed"]
    assert first["speedup"]["median"] == 4.0
    assert refused["reason"] == "no parity: SQNR"
    assert refused["median_ms"] is None
    assert (last["images_per_s"], last["instances"]) == (500.0, 2)


def test_a_ratio_that_is_not_stated_is_said_once() -> None:
    wide = replace(timed(FP32, 4.0), speedup=Ratio(4.0, 1.0, 9.0))
    found = replace(compared(), rows=(Row(wide), Row(wide)))
    assert "not stated: host busy" in str(found.caution)
    assert found.summary.endswith(" was the fastest, on a busy host")
    assert compared().summary.endswith(" is the fastest")
    assert compared().caution is None
    assert found.rows[0].to_json()["speedup"]["median"] is None  # type: ignore[index]


def test_rank_is_by_images_or_by_speed() -> None:
    slow, fast = timed(FP32, 1.0, 900.0), timed(INT8, 2.0, 100.0)
    assert rank("latency", fast) < rank("latency", slow)
    assert rank("throughput", slow) < rank("throughput", fast)
