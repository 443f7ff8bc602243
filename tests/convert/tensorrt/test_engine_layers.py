"""The layers of an engine, from both forms of the inspector's JSON."""

from __future__ import annotations

import json

import onnx_ir as ir
import pytest
from engine_json import information

from resnet_convert.tensorrt.engine_layers import read
from resnet_serve.errors import ConversionError


def test_a_name_is_not_found_inside_a_longer_one(folded_digits: ir.Model) -> None:
    layer = read(information(folded_digits, "fp32", major=10))[0]
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


def test_an_engine_without_details_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"names of its layers only.*detailed"):
        read('{"Layers": ["conv1 + relu"], "Bindings": []}')


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Layers": 3}', "null"])
def test_what_is_no_such_json_is_refused(text: str) -> None:
    with pytest.raises(ConversionError, match="cannot be read"):
        read(text)


@pytest.mark.parametrize(
    ("kind", "name", "reformats", "rounds"),
    [
        ("Reformat", "a", True, False),
        ("NoOp", "Reformatting CopyNode for Input Tensor 0", True, False),
        ("Dequantize", "a", False, True),
        ("CaskConvolution", "Reformat", False, False),
    ],
)
def test_layers_that_compute_nothing_are_known(
    kind: str, name: str, reformats: bool, rounds: bool
) -> None:
    (layer,) = read(json.dumps({"Layers": [{"Name": name, "LayerType": kind}]}))
    assert (layer.reformats, layer.rounds) == (reformats, rounds)


@pytest.mark.parametrize(
    ("inputs", "weights", "precision"),
    [
        (["Half", "Int8"], None, "fp16"),
        (["UInt8", "Int8"], None, "int8"),
        (["Half"], "Int8", "int8"),
        (["UInt8"], None, None),
        ([], None, None),
    ],
)
def test_a_layer_computes_in_the_type_of_its_weights_or_its_widest_input(
    inputs: list[str], weights: str | None, precision: str | None
) -> None:
    described = {
        "Name": "a",
        "LayerType": "x",
        "Inputs": [{"Name": f"i{n}", "DataType": kind} for n, kind in enumerate(inputs)],
    } | ({} if weights is None else {"Weights": {"Type": weights, "Count": 9}})
    (layer,) = read(json.dumps({"Layers": [described]}))
    assert layer.precision == precision
