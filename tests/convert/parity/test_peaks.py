"""The peaks of this CPU, and how many multiply-adds a network has."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from resnet_convert.graph.fold import fold
from resnet_convert.graph.trace import trace
from resnet_convert.parity import peaks
from resnet_convert.parity.peaks import CONVOLUTIONS, Convolution, Peak
from resnet_serve.architectures import build, find
from resnet_serve.runtimes import onnxruntime


@pytest.mark.parametrize(
    ("arch", "gigamacs"), [("resnet18", 1.814), ("resnet34", 3.664), ("resnet50", 4.089)]
)
def test_multiply_adds_are_the_published_ones(arch: str, gigamacs: float) -> None:
    torch.manual_seed(0)
    model = trace(build(find(arch)), (3, 224, 224)).model
    fold(model)
    assert peaks.macs(model) / 1e9 == pytest.approx(gigamacs, abs=6e-4)


def test_operations_are_two_per_multiply_add() -> None:
    assert Convolution(2, 3, 1).operations == 2 * 2 * 2 * 9
    assert Convolution(2, 3, 3, batch=5).operations == 5 * 9 * Convolution(2, 3, 1).operations
    found = Peak(gops=100.0, by=CONVOLUTIONS[0], threads=1)
    assert found.images_per_s(5e9) == 10.0


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_the_best_of_the_convolutions_is_measured(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    small = (Convolution(16, 8, 1), Convolution(64, 16, 3, 2))
    monkeypatch.setattr(peaks, "CONVOLUTIONS", small)
    found = peaks.measure(threads=1, precision=precision)
    assert found.by in small
    assert found.precision == precision
    assert found.gops > 0


def test_the_convolution_computes_what_it_says() -> None:
    each = Convolution(4, 3, 1)
    x = np.random.default_rng(0).integers(0, 256, (1, 4, 3, 3)).astype(np.uint8)
    model = peaks._integer_model(each)
    with onnxruntime.load(model, threads=1) as session:
        found = session.run(x)
    graph = ir.from_proto(onnx.load_from_string(model)).graph
    arrays = {name: value.const_value.numpy() for name, value in graph.initializers.items()}
    exact = (x.astype(np.float64) - 128) * arrays["x.scale"]
    weight = arrays["w"].astype(np.float64)[:, :, 0, 0] * arrays["w.scale"][:, None]
    sums = np.einsum("oc,nchw->nohw", weight, exact)
    expected = np.clip(np.rint(sums / arrays["y.scale"]) + 128, 0, 255)
    assert np.abs(found.astype(np.float64) - expected).max() <= 1
