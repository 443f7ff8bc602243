"""The conversion to try next: it can be carried out, differs, and ends at FP32."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from resnet_convert.autoselect.entrants import (
    Autoselection,
    Entrant,
    EntrantResult,
    NothingKeepsParityError,
)
from resnet_convert.parity.opening import PRECISION_CHECK
from resnet_convert.refusals.next_request import next_request
from resnet_convert.request import Request
from resnet_convert.request.check import check
from resnet_convert.request.recorded import parse
from resnet_serve.errors import UsageError
from resnet_serve.parity.verdict import Check, Verdict
from resnet_serve.runtimes import TARGETS

if TYPE_CHECKING:
    from resnet_convert.precision import Precise

NUMERICS = Verdict((Check("SQNR of the logits, batch 8", "1 dB", "≥ 15 dB", passed=False),))
FALLBACK = Verdict((Check(PRECISION_CHECK, "3 of 4", "all", passed=False),))
INT8: dict[str, Any] = {
    "arch": "resnet20",
    "precision": "int8",
    "calibration": "digits",
    "target": "onnxruntime",
}
HERE = [row.name for row in TARGETS.values() if row.installed and not row.gpu]


def chain(request: Request, verdict: Verdict = NUMERICS) -> list[Request]:
    """What is suggested, when each suggestion is refused too."""
    found = [request]
    while len(found) < 10:
        following = next_request(found[-1], verdict)
        if following is None or following in found:
            break
        check(following)
        assert shlex.split(following.command())[0] == "resnet-convert"
        found.append(following)
    return found


def test_int8_tries_ranges_then_layers_then_a_higher_precision() -> None:
    _, auto, mixed, fp32, *_ = chain(Request(**INT8))
    assert "--calibration-method auto" in auto.command()
    assert "--budget-agreement 99" in mixed.command()
    assert "--precision" not in fp32.command()
    assert "--calibration" not in fp32.command()


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_tensorrt_goes_on_with_fp16(precision: str) -> None:
    first = Request(**INT8 | {"precision": precision, "target": "tensorrt", "prepare_only": True})
    precisions = [each.precision for each in chain(first)]
    assert precisions[-2:] == ["fp16", "fp32"]
    assert all(each.target == "tensorrt" for each in chain(first))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_runtime_that_falls_back_is_left_for_another(precision: str) -> None:
    first = replace(Request(**INT8), precision=precision)
    following = next_request(first, FALLBACK)
    if len(HERE) > 1:
        assert following is not None
        assert following.precision == precision
        assert following.target != "onnxruntime"


def test_what_autoselect_takes_alone_is_left_out_of_a_decided_request() -> None:
    chosen = Request(**INT8 | {"optimize": "throughput"})
    for each in chain(chosen)[1:]:
        check(each)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("aim", ["latency", "throughput"])
@pytest.mark.parametrize("method", ["adaptive", "mse", "auto"])
@pytest.mark.parametrize("asked", [{"precision": "auto"}, {"target": "auto"}])
def test_what_autoselect_chose_is_recorded_as_a_command_that_runs(
    precision: str, aim: str, method: str, asked: dict[str, str]
) -> None:
    """Whatever of the request the winner's precision and target do not take is left out."""
    open_request = Request(
        **INT8
        | {"target": None, "optimize": aim, "calibration_method": method}
        | asked
        | ({"precision": "int8"} if "target" in asked else {})
    )
    check(open_request)
    if "target" in asked and precision != "int8":
        return
    winner = EntrantResult(Entrant("openvino", precision, 2, 1))
    chosen = Autoselection(aim, (winner,), cast("Precise", None)).applied_to(open_request)
    check(chosen)
    assert chosen.instances == (2 if aim == "throughput" else 1)
    again = parse(chosen.command())
    check(again)
    assert again == replace(chosen, repository=again.repository)


def test_instances_are_kept_for_latency_and_refused_for_throughput() -> None:
    asked = Request(**INT8 | {"target": "auto", "instances": 3})
    winner = EntrantResult(Entrant("openvino", "int8", 1, 2))
    chosen = Autoselection("latency", (winner,), cast("Precise", None)).applied_to(asked)
    assert chosen.instances == 3
    with pytest.raises(UsageError, match="--instances 3") as refused:
        check(replace(asked, optimize="throughput"))
    assert "Leave --instances out" in str(refused.value)
    check(replace(asked, optimize="throughput", instances=1))


def test_the_command_after_nothing_keeps_parity_can_be_carried_out() -> None:
    for method in ("adaptive", "mse", "auto"):
        for precision in ("int8", "auto"):
            asked = Request(
                **INT8 | {"target": "auto", "calibration_method": method, "precision": precision}
            )
            remedy = NothingKeepsParityError(asked, ()).remedy
            if remedy is not None:
                following = parse(remedy.removeprefix("Try next: "))
                check(following)
                assert following != asked
