"""The runtimes of this host compared: which are not timed, which is the fastest and deployed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from budgets import change_budgets

from resnet_convert import convert, proof
from resnet_convert.autoselect import entered, measured
from resnet_convert.autoselect.entrants import Autoselection, Entrant, EntrantResult, entrants
from resnet_convert.autoselect.gpu import Gpu
from resnet_convert.parity import opening, throughput
from resnet_convert.parity.compare import Measurements
from resnet_convert.request import Request
from resnet_serve import host, passport
from resnet_serve.errors import HostError, ParityError
from resnet_serve.parity.latency import Latency, Ratio
from resnet_serve.precisions import PRECISIONS
from resnet_serve.runtimes import TARGETS, Target

pytestmark = pytest.mark.usefixtures("quick", "quick_autoselect")
NOTHING: Any = None
A_BUILD_HOST: Any = object()  # whose engines are not built here
ENGINES = Gpu(A_BUILD_HOST, HostError("a build without CUDA"))
CUDA = Gpu(None, None)
INT8 = Request(arch="resnet20", precision="auto", target="auto", calibration="digits")


@pytest.fixture
def quick_autoselect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "LATENCY_SECONDS", 0.02)
    monkeypatch.setattr(throughput, "SECONDS", 0.05)


def result(name: str, precision: str, speed: float, **more: Any) -> EntrantResult:
    ratio = Ratio(speed, speed, speed)
    times = Latency(1, (1.0,))
    return EntrantResult(Entrant(name, precision, 1, 2), times=times, speedup=ratio, **more)


def test_entrants_are_the_cpu_targets_in_what_is_allowed() -> None:
    found = {(each.target, each.precision) for each in entrants(INT8, 2)}
    cpu = [row for row in TARGETS.values() if not row.gpu]
    assert found == {
        (row.name, kind) for row in cpu for kind in ("fp32", "bf16", "int8")
        if kind in row.precisions
    }  # fmt: skip
    alone = entrants(replace(INT8, precision="fp32"), 2)
    assert {each.precision for each in alone} == {"fp32"}
    without = entrants(replace(INT8, calibration=None), 2)
    assert "int8" not in {each.precision for each in without}


def test_a_named_target_is_compared_with_itself_only() -> None:
    found = entrants(replace(INT8, target="openvino"), 2)
    assert {each.target for each in found} == {"openvino"}
    assert {each.precision for each in found} == {"fp32", "bf16", "int8"}


def test_engines_enter_where_they_can_be_built() -> None:
    found = entrants(INT8, 2, ENGINES)
    assert [each.precision for each in found if each.on_gpu] == ["fp32", "fp16", "int8"]
    assert str(found[-1]) == "tensorrt int8 on the GPU"
    assert {each.graph for each in found} == {
        "fp32", "bf16", "int8", "tensorrt fp32", "tensorrt fp16", "tensorrt int8"
    }  # fmt: skip
    without = entrants(replace(INT8, calibration=None), 2, ENGINES)
    assert [each.precision for each in without if each.on_gpu] == ["fp32", "fp16"]
    alone = entrants(replace(INT8, precision="bf16"), 2, ENGINES)
    assert [str(each) for each in alone if each.on_gpu] == ["tensorrt bf16 on the GPU"]


def test_the_cuda_provider_enters_with_the_graphs_of_the_cpu() -> None:
    found = [each for each in entrants(INT8, 2, CUDA) if each.on_gpu]
    assert [str(each) for each in found] == ["onnxruntime fp32 on CUDA", "onnxruntime fp16 on CUDA"]
    assert [each.graph for each in found] == ["fp32", "fp16"]
    assert [each.title for each in found] == ["ONNX Runtime on CUDA"] * 2
    for precision in ("bf16", "int8"):
        asked = replace(INT8, precision=precision)
        assert not any(each.on_gpu for each in entrants(asked, 2, CUDA)), "it has none"
    named = entrants(replace(INT8, target="onnxruntime"), 2, CUDA)
    assert not any(each.on_gpu for each in named), "that is the CPU's: --accelerator cuda"


def test_where_the_cuda_provider_wins_the_request_has_its_accelerator() -> None:
    best = EntrantResult(Entrant("onnxruntime", "fp16", 1, 2, "cuda"), speedup=Ratio(9.0, 9.0, 9.0))
    selected = Autoselection("latency", (best,), NOTHING).applied_to(INT8)
    assert selected.for_cuda
    assert not selected.autoselects
    assert "--target onnxruntime --accelerator cuda" in selected.command()


def test_the_winner_is_written_into_the_request() -> None:
    found = Autoselection("latency", (result("onnxruntime", "int8", 4.0),), NOTHING)
    selected = found.applied_to(INT8)
    assert (selected.target, selected.precision, selected.instances) == ("onnxruntime", "int8", 1)
    assert not selected.autoselects


def test_when_int8_loses_it_is_said() -> None:
    fp32, int8 = result("onnxruntime", "fp32", 2.0), result("onnxruntime", "int8", 1.0)
    assert "keep fp32" in str(Autoselection("latency", (fp32, int8), NOTHING).advice())
    assert Autoselection("latency", (int8, fp32), NOTHING).advice() is None
    assert Autoselection("latency", (fp32,), NOTHING).advice() is None
    wide = replace(int8, speedup=Ratio(1.0, 0.4, 1.6))
    said = str(Autoselection("latency", (fp32, wide), NOTHING).advice())
    assert "keep fp32" not in said
    assert "not stated: host busy (the rounds differ too much)" in said


def test_every_entrant_runs_and_the_fastest_is_deployed(small: dict[str, Any]) -> None:
    conversion = convert(**small, precision="auto", target="auto")
    found = conversion.autoselection
    assert found is not None
    assert len(found.results) == len(entrants(INT8, 1))
    best = found.winner
    assert best.problem is None
    assert conversion.target.name == best.entrant.target
    assert conversion.request.precision == best.entrant.precision
    running = [each.speedup.median for each in found.results if each.speedup is not None]
    assert running == sorted(running, reverse=True)
    assert conversion.path is not None
    stamped = passport.read(conversion.path / passport.FILE_NAME)
    assert stamped.target == best.entrant.target
    assert len(stamped.autoselect["results"]) == len(found.results)
    assert json.dumps(stamped.autoselect)
    report = (conversion.path / "report.html").read_text(encoding="utf-8")
    assert "Every runtime and precision on this host, for latency" in report
    assert str(found.results[-1].entrant) in report


def test_the_winners_graph_is_made_once_and_its_warnings_are_kept(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    honest = entered.precision.bring

    def counted(folded: Any, request: Request, *rest: Any) -> Any:
        made.append(request.precision)
        return honest(folded, request, *rest)

    monkeypatch.setattr(entered.precision, "bring", counted)
    conversion = convert(**small, precision="int8", target="auto")
    assert made == ["int8"]
    assert conversion.precise.calibration is not None
    few = [each for each in conversion.warnings if "calibration images" in each]
    assert len(few) == 1


def test_an_entrant_that_misses_parity_is_not_timed(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    change_budgets(monkeypatch, ["int8"], sqnr_db=500.0)
    found = convert(**small, precision="auto", target="auto").autoselection
    assert found is not None
    problems = {
        each.entrant.precision: each.problem
        for each in found.results
        if each.problem and "instructions" not in each.problem  # a CPU may have no BF16
    }
    assert set(problems) == {"int8"}
    assert "no parity: SQNR of the logits" in str(problems["int8"])
    assert found.winner.entrant.precision != "int8"


def test_no_entrant_left_is_an_error(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    change_budgets(monkeypatch, PRECISIONS, sqnr_db=500.0)
    with pytest.raises(ParityError, match="nothing on this host keeps parity"):
        convert(**small, precision="fp32", target="auto")
    assert not Path(small["repository"]).exists()


@pytest.mark.parametrize(("compared", "again"), [(64, 0), (8, 1)])
def test_what_was_compared_on_all_images_is_not_compared_again(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch, compared: int, again: int
) -> None:
    monkeypatch.setattr(measured, "PARITY_IMAGES", compared)
    honest, calls = proof.compare, []

    def counted(*given: Any) -> Measurements:
        calls.append(given)
        return honest(*given)

    monkeypatch.setattr(proof, "compare", counted)
    conversion = convert(**small, precision="fp32", target="auto")
    assert len(calls) == again
    found = conversion.measurements
    assert found.count == small["validation_images"]
    assert conversion.validation_set is not None
    assert found.images_sha256 == conversion.validation_set.digest()
    assert found.runtime == conversion.target.name
    assert found.latencies is not None
    assert conversion.verdict.passed


def test_a_runtime_that_is_not_here_is_out_and_said(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = opening.open_on_cpu

    def missing(target: str, *rest: Any) -> Any:
        if target == "openvino":
            raise HostError("this needs openvino, which is not installed here")
        return honest(target, *rest)

    monkeypatch.setattr(opening, "open_on_cpu", missing)
    found = convert(**small, precision="fp32", target="auto").autoselection
    assert found is not None
    problems = {each.entrant.target: each.problem for each in found.results}
    assert problems["onnxruntime"] is None
    assert "not installed" in str(problems["openvino"])


def test_throughput_compares_the_splits(
    small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "cores", lambda: 2)
    conversion = convert(**small, precision="fp32", target="auto", optimize="throughput")
    found = conversion.autoselection
    assert found is not None
    splits = {(each.entrant.instances, each.entrant.threads) for each in found.results}
    assert splits == {(1, 2), (2, 1)}
    rates = [each.images_per_s or 0 for each in found.results]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0
    assert conversion.serving.instances == found.winner.entrant.instances


def test_one_entrant_is_no_choice(small: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Target, "installed", property(lambda row: row.name != "openvino"))
    conversion = convert(**small, precision="fp32", target="auto")
    assert conversion.autoselection is None
    assert conversion.target.name == "onnxruntime"


Call = Callable[..., tuple[int, str, str]]


def test_the_table_is_shown(call: Call) -> None:
    code, out, err = call(
        "--arch", "resnet20", "--weights", "digits", "--target", "auto", "--name", "d",
        "--validation", "digits", "--validation-images", 8,
    )  # fmt: skip
    assert code == 0, err
    assert "The runtimes of this host, for latency" in out
    assert "selected" in out


def test_the_dry_run_names_it(call: Call) -> None:
    code, out, _ = call(
        "--arch", "resnet20", "--target", "auto", "--precision", "auto", "--dry-run", "--json"
    )
    assert code == 0
    steps = {step["stage"]: step for step in json.loads(out)["steps"]}
    assert steps["autoselect"]["does"] == "3 entrants, for latency"
    assert steps["autoselect"]["needs"] == "onnxruntime, openvino"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--optimize", "throughput"), "--target auto"),
        (("--target", "auto", "--optimize", "fun"), "latency or throughput"),
        (("--target", "tensorrt", "--precision", "auto"), "Name the precision"),
    ],
)
def test_what_makes_no_sense(call: Call, words: tuple[str, ...], said: str) -> None:
    code, _, err = call("--arch", "resnet20", "--weights", "digits", *words)
    assert code == 2
    assert said in err
