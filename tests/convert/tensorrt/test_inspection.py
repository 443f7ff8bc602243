"""What TensorRT built, compared with the graph: precisions, fused additions, reformats."""

from __future__ import annotations

import json

import onnx_ir as ir
import pytest
from engine_json import information

from resnet_convert.graph.half import halve
from resnet_convert.tensorrt.inspection import inspect, requested_precisions

MAJORS = (10, 11)


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_an_engine_as_requested_passes(folded_digits: ir.Model, precision: str, major: int) -> None:
    if precision != "fp32":
        halve(folded_digits, precision)
    found = inspect(information(folded_digits, precision, major=major), folded_digits)
    assert set(requested_precisions(folded_digits).values()) == {precision}
    assert found.wrong == ()
    assert found.check().passed
    assert found.check().found == f"19 of 19 convolutions {precision.upper()}"
    assert (found.fused, len(found.residuals), found.reformats) == (9, 9, 0)
    assert found.warnings() == []
    assert "fused 9 of 9, 0 reformats" in found.summary()


@pytest.mark.parametrize("major", MAJORS)
def test_one_convolution_that_fell_back_fails_by_name(folded_digits: ir.Model, major: int) -> None:
    halve(folded_digits, "fp16")
    fell = {"layer2.1.conv2": "fp32"}
    found = inspect(information(folded_digits, "fp16", major=major, but=fell), folded_digits)
    assert found.wrong == ("layer2.1.conv2",)
    check = found.check()
    assert not check.passed
    assert check.binding
    assert check.found == "18 of 19 convolutions FP16 (layer2.1.conv2 is fp32)"


def test_a_convolution_the_engine_does_not_name_is_not_found(folded_digits: ir.Model) -> None:
    document = json.loads(information(folded_digits, "fp32", major=11))
    document["Layers"] = document["Layers"][1:]
    found = inspect(json.dumps(document), folded_digits)
    assert found.wrong == ("conv1",)
    assert "conv1 is not found" in found.check().found


def test_an_engine_without_layers_does_not_pass(folded_digits: ir.Model) -> None:
    found = inspect('{"Layers": [], "Bindings": []}', folded_digits)
    assert not found.check().passed
    assert "and 16 more" in found.check().found


@pytest.mark.parametrize("major", MAJORS)
def test_additions_and_reformats_are_counted_and_said(folded_digits: ir.Model, major: int) -> None:
    text = information(folded_digits, "fp32", major=major, fuse=False, reformats=3)
    found = inspect(text, folded_digits)
    assert (found.fused, len(found.residuals), found.reformats) == (0, 9, 3)
    assert found.check().passed, "slow is not wrong"
    (said,) = found.warnings()
    assert "9 of 9 residual additions" in said
    assert found.to_json()["kinds"] == {"CaskConvolution": 19, "PointWiseV2": 9, "Reformat": 3}
