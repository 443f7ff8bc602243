"""The table of stages is what really runs: the log of every kind of conversion is the plan."""

from __future__ import annotations

from typing import Any

import pytest

from resnet_convert import convert
from resnet_convert.request import Request
from resnet_convert.stage_log import StageName
from resnet_convert.stages import STAGES, applies, planned

KINDS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "planes": {"input": "float32"},
    "fp16": {"precision": "fp16"},
    "int8": {"precision": "int8"},
    "int8 within a budget": {"precision": "int8", "budget_agreement": 50.0},
    "bf16 for TensorRT": {"precision": "bf16", "target": "tensorrt", "prepare_only": True},
    "int8 for TensorRT": {"precision": "int8", "target": "tensorrt", "prepare_only": True},
    "int8 that the server builds": {"precision": "int8", "accelerator": "tensorrt"},
    "features": {"head": "features"},
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_a_conversion_runs_the_stages_that_are_planned(
    small: dict[str, Any], options: dict[str, Any]
) -> None:
    conversion = convert(**{**small, "target": "onnxruntime", **options})
    ran = [stage.name for stage in conversion.stages]
    assert ran == [row.name for row in planned(conversion.request)]
    assert all(stage.summary for stage in conversion.stages)


def test_the_table_is_in_the_order_of_the_names() -> None:
    assert list(STAGES) == list(StageName)


def test_every_row_says_what_it_does() -> None:
    request = Request(arch="resnet20", precision="int8", target="tensorrt", budget_agreement=99.0)
    for row in STAGES.values():
        assert row.does(request)


def test_autoselect_replaces_what_it_decides() -> None:
    request = Request(arch="resnet20", precision="auto", target="auto", calibration="digits")
    assert applies(StageName.AUTOSELECT, request)
    assert not applies(StageName.QUANTIZE, request)


def test_only_a_plan_that_is_built_here_is_built() -> None:
    build = Request(arch="resnet20", precision="fp16", target="tensorrt")
    prepare = Request(arch="resnet20", precision="fp16", target="tensorrt", prepare_only=True)
    for name in (StageName.ENGINE, StageName.INSPECT, StageName.LATENCY):
        assert applies(name, build)
        assert not applies(name, prepare)
