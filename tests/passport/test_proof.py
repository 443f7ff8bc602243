"""The proof in a passport: written by what measured, read with the same numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import pytest
from passports import DECISIONS, NUMERICS, converted

from resnet_serve.activation import Activation, Kind
from resnet_serve.parity.accuracy import Decisions
from resnet_serve.parity.labels import LabelDecisions, decide
from resnet_serve.parity.latency import Latency
from resnet_serve.parity.numerics import Numerics
from resnet_serve.parity.verdict import Check, Verdict
from resnet_serve.passport import GateFacts, LatencyFacts, ParityFacts, TimingFacts


@dataclass(frozen=True)
class Comparison:
    images: str = "digits"
    images_sha256: str = "2" * 64
    output_kind: str = "maps"
    numerics: dict[int, Numerics] = field(default_factory=lambda: dict(NUMERICS))
    decisions: Decisions | None = DECISIONS
    runtime: str = "openvino"
    label_decisions: LabelDecisions | None = None


def test_parity_is_written_from_a_comparison() -> None:
    found = ParityFacts.measured(Comparison(), ({"name": "conv1"},))
    assert (found.of, found.runtime, found.images) == ("maps", "openvino", "digits")
    assert ParityFacts.from_json(found.to_json()) == found
    assert set(found.to_json()) == {
        *("runtime", "of", "images", "images_sha256"),
        *("numerics", "decisions", "layers"),
    }
    assert "layers" not in ParityFacts.measured(Comparison()).to_json()


def test_parity_of_a_model_that_is_no_classifier() -> None:
    found = ParityFacts.measured(Comparison(decisions=None))
    assert found.to_json()["decisions"] is None
    assert ParityFacts.from_json(found.to_json()).decisions is None


def test_parity_of_a_sigmoid() -> None:
    logits = np.array([[2.0, -1.0], [0.5, 1.0]], np.float32)
    about = decide(Activation(Kind.SIGMOID, (0.5,)), logits, -logits, np.array([0, 1]))
    found = ParityFacts.measured(Comparison(decisions=None, label_decisions=about))
    assert found.agreement == 0
    assert ParityFacts.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_of_many_labels_the_worst_have_rows() -> None:
    logits = np.random.default_rng(0).normal(0, 1, (8, 300)).astype(np.float32)
    about = decide(Activation(Kind.SIGMOID, (0.5,)), logits, -logits)
    found = ParityFacts.measured(Comparison(decisions=None, label_decisions=about))
    written = found.to_json()["label_decisions"]
    assert (len(written["labels"]), written["left_out"]) == (50, 250)
    assert written["left_out_changed"] == 8 * 250
    assert ParityFacts.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("passed", [True, False])
def test_what_is_deployed_without_passing_is_overridden(passed: bool) -> None:
    check = Check("cosine of the logits, batch 8", "0.5", "≥ 0.97", passed)
    found = GateFacts.decided(Verdict((check,)))
    assert (found.passed, found.overridden) == (passed, not passed)
    assert found.to_json()["checks"] == [
        {
            "name": check.name,
            "found": "0.5",
            "allowed": "≥ 0.97",
            "passed": passed,
            "binding": True,
            "note": "",
        }
    ]
    assert GateFacts.from_json(found.to_json()) == found


def test_a_timing_is_what_the_measurement_reports() -> None:
    measured = Latency(4, (1.0, 2.0, 4.0))
    assert TimingFacts.timed(measured).to_json() == measured.to_json()


def test_the_times_stand_beside_the_other_fields() -> None:
    made = converted().latency
    written = made.to_json()
    assert written["pytorch"]["median_ms"] == 2
    found = LatencyFacts.from_json({**written, "new": 1, "newer": {"x": 2}})
    assert found.times == made.times
    assert found.extra == {"new": 1, "newer": {"x": 2}}
    assert LatencyFacts.from_json(written) == made
