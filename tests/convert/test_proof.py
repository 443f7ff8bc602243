"""The warnings that follow from a proof's numbers, and the proof of a whole conversion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from resnet_convert import convert
from resnet_convert.graph.model_file import serialize
from resnet_convert.parity import peaks
from resnet_convert.parity.compare import Measurements
from resnet_convert.parity.latencies import Latencies
from resnet_convert.proof import Proof, against_peak, cautions
from resnet_convert.request import Request
from resnet_serve import host
from resnet_serve.parity.latency import Latency
from resnet_serve.parity.numerics import compare
from resnet_serve.parity.verdict import Verdict
from resnet_serve.precisions import PRECISIONS

MACHINE = host.describe()
WITH_VNNI = replace(MACHINE, instruction_sets=("AVX512-VNNI",))
WITHOUT_VNNI = replace(MACHINE, instruction_sets=("AVX2",))


def timed(reference_ms: float, candidate_ms: float, *, rounds: int = 10) -> Measurements:
    """Measurements that hold times alone."""
    times = Latencies(
        "onnxruntime",
        Latency(1, (reference_ms,) * rounds),
        Latency(1, (candidate_ms,) * rounds),
    )
    return Measurements(
        images="none",
        images_sha256="",
        output_kind="logits",
        numerics={},
        logits=None,
        decisions=None,
        runtime="onnxruntime",
        compiled={},
        latencies=times,
    )


def said(measurements: Measurements, machine: Any = WITH_VNNI, **options: Any) -> list[str]:
    request = Request(arch="resnet20", target="onnxruntime")
    verdict = Verdict(())
    if measurements.numerics:
        verdict = measurements.verdict(PRECISIONS["fp32"].budget, trained=True)
    proof = Proof(measurements, (), verdict, None, None)
    found = cautions(replace(request, **options), proof, machine)
    return [each for each in found if each is not None]


def test_a_fast_fp32_has_no_cautions() -> None:
    assert said(timed(4.0, 2.0)) == []


@pytest.mark.parametrize(("change", "constant"), [(0.0, True), (1e-9, True), (0.01, False)])
def test_outputs_that_are_the_same_for_every_image_are_said(change: float, constant: bool) -> None:
    reference = np.tile(np.array([[0.5, -3.0, 1.0]], np.float32), (4, 1))
    reference[2, 0] += change
    found = replace(timed(4.0, 2.0), numerics={8: compare(reference, reference)})
    assert any("of every image are the same" in each for each in said(found)) == constant
    one = replace(found, numerics={8: compare(reference[:1], reference[:1])})
    assert said(one) == [], "one image shows no difference"


def test_what_is_slower_than_pytorch_is_named() -> None:
    assert any("slower than PyTorch here (0.50×)" in each for each in said(timed(2.0, 4.0)))


def test_fp16_on_a_cpu_is_not_faster() -> None:
    assert any("smaller, not faster" in each for each in said(timed(4.0, 2.0), precision="fp16"))


def test_a_wide_interval_says_that_the_host_is_busy() -> None:
    found = timed(4.0, 2.0)
    assert found.latencies is not None
    uneven = replace(found.latencies, reference=Latency(1, (1.0, 9.0) * 5))
    assert any("not stated: host busy" in each for each in said(replace(found, latencies=uneven)))


def test_int8_without_vnni_may_saturate() -> None:
    assert any("no VNNI" in each for each in said(timed(4.0, 2.0), WITHOUT_VNNI, precision="int8"))
    assert said(timed(4.0, 2.0), WITH_VNNI, precision="int8") == []


def test_an_engine_beside_pytorch_on_the_cpu_is_no_comparison() -> None:
    found = said(timed(4.0, 2.0), target="tensorrt")
    assert any("timed against the CPU" in each for each in found)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_layers_are_held_against_the_peak_of_a_quiet_host(
    folded_digits: ir.Model, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    request = Request(arch="resnet20", target="onnxruntime", precision=precision)
    data, found = serialize(folded_digits), timed(4.0, 2.0)
    assert against_peak(request, folded_digits, data, found, threads=1) == (None, None), "small"
    monkeypatch.setattr(peaks, "WORTH_IT", 1.0)
    monkeypatch.setattr(peaks, "CONVOLUTIONS", (peaks.Convolution(64, 16, 3, 2),))
    speeds, share = against_peak(request, folded_digits, data, found, threads=1)
    assert speeds is not None
    assert speeds.peak.precision == precision
    assert {layer.precision for layer in speeds.layers.values()} == {"fp32"}, "what really ran"
    if precision == "fp32":
        assert share is None
        assert all(layer.of_peak for layer in speeds.layers.values())
    else:
        assert share == pytest.approx(500 / speeds.peak.images_per_s(peaks.macs(folded_digits)))
        assert not any(layer.of_peak for layer in speeds.layers.values())
    assert found.latencies is not None
    uneven = replace(found.latencies, reference=Latency(1, (1.0, 9.0) * 5))
    busy = replace(found, latencies=uneven)
    assert against_peak(request, folded_digits, data, busy, threads=1) == (None, None)


@pytest.mark.usefixtures("quick")
def test_a_proof_names_the_least_exact_layer(small: dict[str, Any]) -> None:
    proof = convert(**small, precision="fp16").proof
    assert proof.verdict.passed
    assert proof.worst_layer in proof.layers
    assert proof.worst_layer is not None
    assert proof.worst_layer.sqnr_db == min(layer.sqnr_db for layer in proof.layers)
    assert (proof.engine, proof.peak_share) == (None, None)
