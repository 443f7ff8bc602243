"""The integer peak of this CPU, and how many multiply-adds a network has."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from resnet_convert.graph.fold import fold
from resnet_convert.graph.trace import trace
from resnet_convert.parity import int8_peak
from resnet_convert.parity.int8_peak import CONVOLUTIONS, Convolution, Peak
from resnet_serve.architectures import build, find
from resnet_serve.runtimes import onnxruntime


@pytest.mark.parametrize(
    ("arch", "gigamacs"), [("resnet18", 1.814), ("resnet34", 3.664), ("resnet50", 4.089)]
)
def test_multiply_adds_are_the_published_ones(arch: str, gigamacs: float) -> None:
    torch.manual_seed(0)
    model = trace(build(find(arch)), (3, 224, 224)).model
    fold(model)
    assert int8_peak.macs(model) / 1e9 == pytest.approx(gigamacs, abs=6e-4)


def test_operations_are_two_per_multiply_add() -> None:
    assert Convolution(2, 3, 1).operations == 2 * 2 * 2 * 9
    assert Convolution(2, 3, 3, batch=5).operations == 5 * 9 * Convolution(2, 3, 1).operations
    found = Peak(gops=100.0, by=CONVOLUTIONS[0], threads=1)
    assert found.images_per_s(5e9) == 10.0


def test_the_best_of_the_convolutions_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    small = (Convolution(16, 8, 1), Convolution(64, 16, 3, 2))
    monkeypatch.setattr(int8_peak, "CONVOLUTIONS", small)
    found = int8_peak.measure(threads=1)
    assert found.by in small
    assert found.gops > 0


def test_a_small_network_is_not_held_against_it(folded_digits: ir.Model) -> None:
    assert int8_peak.share(folded_digits, 100.0, threads=1) is None


def test_the_share_is_of_the_images_the_peak_allows(
    folded_digits: ir.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8_peak, "WORTH_IT", 1.0)
    peak = Peak(2 * int8_peak.macs(folded_digits) * 200 / 1e9, CONVOLUTIONS[0], 1)
    monkeypatch.setattr(int8_peak, "measure", lambda threads: peak)
    assert int8_peak.share(folded_digits, 50.0, threads=1) == pytest.approx(0.25)


def test_the_convolution_computes_what_it_says() -> None:
    each = Convolution(4, 3, 1)
    x = np.random.default_rng(0).integers(0, 256, (1, 4, 3, 3)).astype(np.uint8)
    model = int8_peak._model(each)
    with onnxruntime.load(model, threads=1) as session:
        found = session.run(x)
    graph = ir.from_proto(onnx.load_from_string(model)).graph
    arrays = {name: value.const_value.numpy() for name, value in graph.initializers.items()}
    exact = (x.astype(np.float64) - 128) * arrays["x.scale"]
    weight = arrays["w"].astype(np.float64)[:, :, 0, 0] * arrays["w.scale"][:, None]
    sums = np.einsum("oc,nchw->nohw", weight, exact)
    expected = np.clip(np.rint(sums / arrays["y.scale"]) + 128, 0, 255)
    assert np.abs(found.astype(np.float64) - expected).max() <= 1
