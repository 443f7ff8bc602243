"""Inspection of layers that a TensorRT really made: RTX's own log, and the shapes of 10.x and 11.x.

The log of TensorRT-RTX 1.7.1 was recorded by `tests/support/record_rtx_layers.py`, and is recorded
again here. The JSON has the fields and words of public records, with this project's names: the
engines of NVIDIA/TensorRT's engine explorer (ResNet on A100, Apache-2.0) and the list of 10.2 in
NVIDIA/TensorRT#4020.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import onnx_ir as ir
import pytest
from record_rtx_layers import FOLDER, PRECISIONS, logged, small_network

from resnet_convert.tensorrt.engine_layers import EngineLayer, read
from resnet_convert.tensorrt.inspection import Inspection, inspect
from resnet_serve.errors import ConversionError

ADDITIONS = ("layer1.0.add", "layer2.0.add", "layer3.0.add")
network = cache(small_network)


def recorded(precision: str) -> str:
    return (FOLDER / f"{precision}.txt").read_text(encoding="utf-8")


def inspected(precision: str, text: str | None = None) -> Inspection:
    return inspect(recorded(precision) if text is None else text, network(precision))


@pytest.mark.parametrize(
    ("precision", "fused", "kinds"),
    [
        ("fp16", True, {"correlation": 9, "kgen": 3, "runtime_fusion": 1, "shape_call": 1}),
        (
            "int8",
            False,
            {"correlation": 9, "kgen": 9, "gemm": 1, "shape_call": 1, "signal": 4, "wait": 4},
        ),
    ],
)
def test_every_convolution_is_found_where_it_is_computed(
    precision: str, fused: bool, kinds: dict[str, int]
) -> None:
    found = inspected(precision)
    assert found.wrong == ()
    assert found.check().found == f"9 of 9 convolutions {precision.upper()}"
    assert found.residuals == dict.fromkeys(ADDITIONS, fused)
    assert found.kinds == kinds
    assert bool(found.warnings()) is not fused


def test_a_prologue_in_front_of_the_convolution_is_not_taken_for_it() -> None:
    holding = [layer for layer in read(recorded("int8")) if layer.holds("conv1")]
    assert [layer.kind for layer in holding] == ["kgen", "correlation", "kgen"]
    assert [layer.precision for layer in holding] != ["int8"] * 3
    assert inspected("int8").convolutions["conv1"] == ("int8", "int8")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_convolution_itself_decides_whatever_surrounds_it(precision: str) -> None:
    """One convolution in another type at a time: the check names it and no other."""
    other = {"fp16": "Float", "int8": "Half"}[precision]
    own = {"fp16": "Half", "int8": "Int8"}[precision]
    lines = recorded(precision).split("\n")
    for index, line in enumerate(lines):
        if "LayerType: correlation" not in line:
            continue
        changed = [*lines[:index], line.replace(f"Datatype: {own}", f"Datatype: {other}")]
        found = inspected(precision, "\n".join([*changed, *lines[index + 1 :]]))
        assert len(found.wrong) == 1
        assert f"Name: {found.wrong[0]}" in line


def test_an_addition_counts_as_fused_in_the_layer_of_the_convolution_alone() -> None:
    apart = recorded("fp16").replace("[ONNX Layer: layer2.0.add]", "")
    assert inspected("fp16", apart).residuals["layer2.0.add"] is False
    assert inspected("fp16", apart).fused == 2


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_library_still_logs_what_was_recorded(precision: str) -> None:
    before, now = inspected(precision), inspected(precision, logged(precision))
    assert now.kinds == before.kinds
    assert now.convolutions == before.convolutions
    assert now.residuals == before.residuals
    assert sorted(_types(now.layers)) == sorted(_types(before.layers))


def _types(layers: tuple[EngineLayer, ...]) -> list[tuple[str, ...]]:
    return [(layer.kind, *layer.inputs, "→", *layer.outputs) for layer in layers]


@pytest.mark.parametrize("line", ["Name: conv1", "conv1", "Name: a, LayerType: b, Inputs: ["])
def test_a_line_of_another_form_is_refused(line: str) -> None:
    with pytest.raises(ConversionError, match="in the log of the build cannot be read"):
        read(f"Layers:\n{line}\n\nI/O Tensors:\n")


# --- TensorRT 10.x and 11.x ---------------------------------------------------------------------


def tensor(name: str, text: str) -> dict[str, Any]:
    return {
        "Name": name,
        "Location": "Device",
        "Dimensions": [1, 64, 56, 56],
        "Format/Datatype": text,
    }


CHANNELS_8 = "Channel major FP16 format where channel % 8 == 0"
DYNAMIC = "N/A due to dynamic shapes"


def convolution(names: list[str], text: str, weights: str, **more: Any) -> dict[str, Any]:
    return {
        "Name": " + ".join(names),
        "LayerType": "CaskConvolution",
        "Inputs": [tensor("x", text)],
        "Outputs": [tensor("y", text)],
        "ParameterType": "Convolution",
        "Kernel": [3, 3],
        "Weights": {"Type": weights, "Count": 36864},
        "Bias": {"Type": "Float", "Count": 64},
        "HasReLU": 1,
        "TacticName": "sm80_xmma_fprop_implicit_gemm_interleaved",
        "StreamId": 0,
        "Metadata": "\x1e".join(f"[ONNX Layer: {name}]" for name in names),
        **more,
    }


def myelin(name: str, kind: str, nodes: list[str], inputs: str, outputs: str) -> dict[str, Any]:
    return {
        "Name": name,
        "LayerType": kind,
        "Inputs": [tensor("x", inputs)],
        "Outputs": [tensor("y", outputs)],
        "TacticName": "",
        "StreamId": 0,
        "Metadata": "\x1f".join(f"[ONNX Layer: {each}]" for each in nodes),
    }


@pytest.fixture(scope="module")
def block() -> ir.Model:
    """A stem and an addition: `conv1`, `relu`, `conv2`, `add`, in FP16."""
    text = """
        <ir_version: 10, opset_import: ["" : 18]>
        g (float16[N,8,8,8] x) => (float16[N,8,8,8] y)
        <float16[8,8,1,1] w1, float16[8,8,1,1] w2>
        {
            [conv1] c = Conv(x, w1)
            [relu] r = Relu(c)
            [conv2] d = Conv(r, w2)
            [add] y = Add(d, x)
        }
    """
    return ir.from_onnx_text(text)


def as_json(*layers: dict[str, Any]) -> str:
    return json.dumps({"Layers": list(layers), "Bindings": ["x", "y"]})


def test_a_copy_that_is_named_after_the_convolution(block: ir.Model) -> None:
    copy = {
        **myelin("", "Reformat", [], "Row major linear FP32", CHANNELS_8),
        "Name": "Reformatting CopyNode for Input Tensor 0 to conv1 + relu",
        "Metadata": "",
    }
    found = inspect(
        as_json(
            copy,
            convolution(["conv1", "relu"], CHANNELS_8, "Half", LayerType="CaskConvActPool"),
            convolution(["conv2", "add"], CHANNELS_8, "Half"),
        ),
        block,
    )
    assert (found.wrong, found.fused, found.reformats) == ((), 1, 1)


def test_types_that_a_dynamic_batch_hides_are_read_from_the_weights(block: ir.Model) -> None:
    layers = [convolution([name], DYNAMIC, "Half") for name in ("conv1", "conv2")]
    assert inspect(as_json(*layers), block).wrong == ()
    layers[1] = convolution(["conv2"], DYNAMIC, "Float")
    assert inspect(as_json(*layers), block).wrong == ("conv2",)


@pytest.mark.parametrize("kind", ["correlation", "gemm", "fusion", "CaskGemmConvolution"])
@pytest.mark.parametrize("first", [True, False])
def test_generated_layers_around_the_one_that_computes(
    block: ir.Model, kind: str, first: bool
) -> None:
    pointwise = myelin("__myl_CastMul_myl0_0", "kgen", ["conv1", "relu"], "Float", "Half")
    own = myelin("conv1_myl0_1", kind, ["conv1"], "Half", "Half")
    tail = myelin("__myl_AddRelu_myl0_3", "kgen", ["conv2", "add"], "Float", "Half")
    rest = myelin("conv2_myl0_2", kind, ["conv2"], "Half", "Float")
    layers = [pointwise, own, rest, tail]
    found = inspect(as_json(*(layers if first else reversed(layers))), block)
    assert found.wrong == ()
    assert found.residuals == {"add": False}, "the addition is in the pointwise layer"


def test_a_convolution_that_only_a_generated_kernel_holds(block: ir.Model) -> None:
    layers = [myelin(f"__myl_{n}", "kgen", [n], "Half", "Half") for n in ("conv1", "conv2")]
    assert inspect(as_json(*layers), block).wrong == ()
