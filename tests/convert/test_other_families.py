"""Small networks of other families, end to end: FP32 exact, INT8 where it can be, half types.

What each is known for is in `tests/support/modern.py`; each operator alone is compared with PyTorch
in `tests/convert/graph/operators/`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import modern
import pytest
from torch import nn

from resnet_convert import convert
from resnet_convert.graph.fold import fold
from resnet_convert.graph.nodes import WEIGHTED, dequantizer
from resnet_convert.graph.trace import trace
from resnet_convert.quantization import u8s8
from resnet_convert.quantization.ranges import Range
from resnet_serve.datasets.digits import Digits
from resnet_serve.errors import ConversionError

FAMILIES = (
    "mobilenet_v2",
    "mobilenet_v3",
    "efficientnet",
    "convnext",
    "densenet",
    "resnest",
    "pooled_groups",
    "vit",
)
FLOATING = {
    "mobilenet_v2": (),
    "mobilenet_v3": ("HardSigmoid", "Mul"),
    "efficientnet": ("Mul", "Sigmoid"),
    "resnest": ("Mul", "ReduceMean", "Softmax"),
    "vit": ("Add", "Div", "Erf", "LayerNormalization", "MatMul", "Mul", "Softmax"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_traced_folded_and_quantized(family: str) -> None:
    """Every convolution and linear layer gets integer weights, and what does not is named."""
    found = trace(getattr(modern, family)(), (3, 32, 32))
    assert all(result.relative < 1e-5 for result in found.numerics.values())
    model = found.model
    folded = fold(model)
    if family not in ("densenet", "convnext", "vit", "pooled_groups"):
        assert folded.folded == folded.total > 0
    ranges = dict.fromkeys(u8s8.activations(model), Range(-1.0, 1.0))
    done = u8s8.quantize(model, ranges)
    assert done.floating == ()
    assert done.operators == FLOATING.get(family, done.operators)
    layers = [node for node in model.graph if node.op_type in WEIGHTED]
    assert done.layers == len(layers)
    assert all(dequantizer(node.inputs[0]) and dequantizer(node.inputs[1]) for node in layers)


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "preprocessing.json"
    path.write_text(json.dumps({"resize": 32, "crop": [32, 32], "resize_mode": "exact"}))
    folder = tmp_path / "images"
    folder.mkdir()
    digits = Digits(held_out=True)
    for index in range(24):  # without labels: untrained, these are right of none
        digits.image(index).save(folder / f"{index:02}.png")
    return {
        "preprocessing": path,
        "repository": tmp_path / "models",
        "validation": str(folder),
        "calibration": "digits",
        "calibration_images": 32,
        # Untrained, these decide by little: their decisions are not what is tested here.
        "budget_agreement": 60.0,
    }


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("target", "precision"),
    [
        ("onnxruntime", "int8"),
        ("openvino", "int8"),
        ("tensorrt", "int8"),
        ("tensorrt", "fp16"),
        ("tensorrt", "bf16"),
    ],
)
@pytest.mark.parametrize("family", ["mobilenet_v3", "convnext", "pooled_groups", "vit"])
def test_it_converts(options: dict[str, Any], family: str, target: str, precision: str) -> None:
    prepared = {"prepare_only": True} if target == "tensorrt" else {}
    done = convert(
        module=f"modern:{family}", target=target, precision=precision, **prepared, **options
    )
    assert done.verdict.passed
    quantization = done.precise.quantization
    assert quantization is None or (quantization.layers > 0 and quantization.floating == ())


def test_what_cannot_be_traced_is_refused_with_its_module_and_what_to_do() -> None:
    network = modern.efficientnet()
    network.features[1].gate.gate = nn.Softshrink()
    with pytest.raises(ConversionError) as refusal:
        trace(network, (3, 32, 32))
    assert refusal.value.where == "features.1.gate.gate"
    assert "the operator aten::softshrink" in refusal.value.what
    assert "docs/own-networks.md" in str(refusal.value.remedy)
