"""The evaluator: graphs of a search against recorded outputs, timed against the first."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from resnet_convert.graph.half import halve
from resnet_convert.graph.initializers import array_of, assign
from resnet_convert.parity import evaluator as module
from resnet_convert.parity.evaluator import Evaluator
from resnet_convert.parity.reference import Reference
from resnet_convert.parity.reference_outputs import ReferenceOutputs
from resnet_serve.datasets.digits import Digits
from resnet_serve.datasets.selection import spread
from resnet_serve.weights import Weights


@pytest.fixture
def recorded(digits: Weights, monkeypatch: pytest.MonkeyPatch) -> ReferenceOutputs:
    monkeypatch.setattr(module, "LATENCY_SECONDS", 0.02)
    reference = Reference(digits.network(), digits, "float32", threads=1)
    return ReferenceOutputs.record(reference, spread(Digits(held_out=True), 20))


def test_the_first_graph_is_what_the_others_are_timed_against(
    recorded: ReferenceOutputs, folded_digits: ir.Model
) -> None:
    evaluator = Evaluator(recorded, "onnxruntime", "fp32", threads=1)
    assert [len(batch) for batch in evaluator.batches] == [8, 8, 4]
    first = evaluator.evaluate(folded_digits)
    assert (first.agreement, first.latency_ratio, first.top1_points_lost) == (1, 1, 0)
    other = folded_digits.clone()
    bias = other.graph.initializers["fc.bias"]
    assign(bias, array_of(bias) + np.float32(100) * (np.arange(10) == 3))
    broken = evaluator.evaluate(other)
    assert broken.agreement < 0.5
    assert broken.latency_ratio is not None
    assert broken.latency_ratio > 0


def test_a_graph_for_a_gpu_is_emulated_and_not_timed(
    recorded: ReferenceOutputs, folded_digits: ir.Model
) -> None:
    halve(folded_digits, "bf16")
    evaluator = Evaluator(recorded, "onnxruntime", "bf16", threads=1, emulating=True)
    found = evaluator.evaluate(folded_digits)
    assert found.latency_ratio is None
    assert found.agreement >= 0.9
    assert 10 < found.sqnr_db < 100
