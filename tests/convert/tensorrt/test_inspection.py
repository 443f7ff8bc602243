"""What TensorRT built, read from both shapes of the inspector's JSON and held to the graph."""

from __future__ import annotations

import json

import onnx_ir as ir
import pytest
from engine_json import information

from resnet_convert.graph.half import halve
from resnet_convert.tensorrt.inspection import asked_precisions, inspect, read
from resnet_serve.errors import ConversionError

MAJORS = (10, 11)


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_an_engine_as_asked_passes(folded_digits: ir.Model, precision: str, major: int) -> None:
    if precision != "fp32":
        halve(folded_digits, precision)
    found = inspect(information(folded_digits, precision, major=major), folded_digits)
    assert set(asked_precisions(folded_digits).values()) == {precision}
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


def test_a_name_is_not_found_inside_a_longer_one(folded_digits: ir.Model) -> None:
    layer = next(iter(read(information(folded_digits, "fp32", major=10))))
    assert layer.origins == ("conv1", "relu")
    assert layer.holds("conv1")
    assert not layer.holds("conv")
    assert not layer.holds("layer1.0.conv1")


def test_names_are_read_from_the_layer_where_there_is_no_metadata() -> None:
    text = json.dumps(
        {
            "Layers": [
                {
                    "Name": "layer1.0.conv1.weight.dq + layer1.0.conv1 + PWN(layer1.0.relu)",
                    "LayerType": "fusion",
                    "Inputs": [{"Name": "x", "Format/Datatype": "Int8"}],
                    "Outputs": [{"Name": "y", "Format/Datatype": "Half"}],
                    "TacticName": "sm80_xmma",
                }
            ]
        }
    )
    (layer,) = read(text)
    assert layer.holds("layer1.0.conv1")
    assert layer.holds("layer1.0.relu")
    assert not layer.holds("layer1.0.conv1.weight")
    assert layer.precision == "int8"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Row major linear FP16 format", "fp16"),
        ("Two wide channel vectorized row major FP16 format", "fp16"),
        ("Thirty-two wide channel vectorized row major Int8 format.", "int8"),
        ("Row major linear UInt8 format", "uint8"),
        ("BFloat16", "bf16"),
        ("Half", "fp16"),
        ("FP8", "fp8"),
        ("Float", "fp32"),
        ("Row major linear FP32", "fp32"),
    ],
)
def test_types_as_tensorrt_words_them(text: str, kind: str) -> None:
    layers = [{"Name": "a", "LayerType": "x", "Inputs": [{"Name": "i", "Format/Datatype": text}]}]
    (layer,) = read(json.dumps({"Layers": layers}))
    assert layer.inputs == (kind,)


def test_an_engine_that_tells_names_only_is_refused(folded_digits: ir.Model) -> None:
    with pytest.raises(ConversionError, match=r"names of its layers only.*detailed"):
        inspect('{"Layers": ["conv1 + relu"], "Bindings": []}', folded_digits)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Layers": 3}', "null"])
def test_what_is_no_answer_is_refused(folded_digits: ir.Model, text: str) -> None:
    with pytest.raises(ConversionError, match="cannot be read"):
        inspect(text, folded_digits)
