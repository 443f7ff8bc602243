"""How checks are shown: green is what shows something, and never a check over equal outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from resnet_serve.activation import Activation, Kind
from resnet_serve.parity import label_gate, labels
from resnet_serve.parity.accuracy import decide
from resnet_serve.parity.gate import judge
from resnet_serve.parity.numerics import Numerics, compare, compare_all
from resnet_serve.parity.verdict import ANY_PASSES, UNTRAINED, Check, Verdict
from resnet_serve.precisions import PRECISIONS

CHECK = Check("cosine", "0.9", "≥ 0.8", passed=True)
IMAGES = 100
ROW = np.array([0.5, -3.0, 1.0], np.float32)


def logits(spread: float) -> NDArray[np.float32]:
    """A row of logits for each image, which differ by `spread` from the same one."""
    noise = np.random.default_rng(0).normal(0, 1, (IMAGES, 3))
    return (ROW + spread * noise).astype(np.float32)


def judged(reference: NDArray[np.float32], converted: NDArray[np.float32]) -> Verdict:
    found = {8: compare(reference, converted)}
    return judge(PRECISIONS["int8"].budget, found, decide(reference, converted), trained=True)


def outcomes(verdict: Verdict) -> set[str]:
    return {each.outcome[0] for each in verdict.checks if each.binding}


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, ("good", "✓ passed")),
        ({"passed": False}, ("bad", "✗ not met")),
        ({"note": "9 images cannot show it"}, ("neutral", "✓ passed; 9 images cannot show it")),
        ({"note": UNTRAINED, "binding": False}, ("neutral", "– not binding (untrained)")),
        ({"note": ANY_PASSES}, ("neutral", f"– shows nothing: {ANY_PASSES}")),
        ({"note": ANY_PASSES, "passed": False}, ("bad", "✗ not met")),
    ],
)
def test_a_check_is_green_only_where_it_shows_what_it_says(
    changes: dict[str, object], outcome: tuple[str, str]
) -> None:
    assert replace(CHECK, **changes).outcome == outcome  # type: ignore[arg-type]


def test_outputs_that_depend_on_the_image_are_green() -> None:
    verdict = judged(logits(3.0), logits(3.0))
    assert "good" in outcomes(verdict)
    assert verdict.constant is None
    assert verdict.headline == "passed"


@pytest.mark.parametrize("rounding", [0.0, 1e-7, 1e-6])
@pytest.mark.parametrize("row", [ROW, np.zeros(3, np.float32), 1e4 * ROW])
def test_nothing_is_green_over_outputs_that_are_the_same(
    rounding: float, row: NDArray[np.float32]
) -> None:
    reference = (row + rounding * row * logits(1.0)).astype(np.float32)
    verdict = judged(reference, reference)
    assert verdict.passed
    assert outcomes(verdict) == {"neutral"}
    assert verdict.constant == "the logits of every image are the same"
    assert verdict.headline.startswith("passed, which shows nothing")
    assert verdict.unshown == (), "it is no matter of how many images there are"
    kept = verdict.to_json()["checks"]
    assert isinstance(kept, list)
    assert all("are the same" in each["note"] for each in kept if each["binding"])


def test_other_outputs_than_the_same_ones_are_refused() -> None:
    verdict = judged(logits(0.0), logits(0.0)[:, ::-1].copy())
    assert not verdict.passed
    assert verdict.headline == "NOT MET"
    assert "bad" in outcomes(verdict)


def test_outputs_that_hardly_depend_on_the_image_show_no_distance() -> None:
    """Their mean alone has the SQNR that INT8 must have; the decisions are all the same too."""
    verdict = judged(logits(0.05), logits(0.05))
    noted = [each.name for each in verdict.checks if each.note == ANY_PASSES]
    assert "SQNR of the logits, batch 8" in noted
    assert verdict.constant is None


def test_one_image_shows_no_difference() -> None:
    verdict = judged(logits(0.0)[:1], logits(0.0)[:1])
    assert verdict.constant is None


def test_labels_of_equal_outputs_are_not_green_either() -> None:
    reference = logits(0.0)
    activation = Activation(Kind.SIGMOID, (0.5,))
    found = labels.decide(activation, reference, reference)
    budget = PRECISIONS["int8"].budget
    verdict = Verdict(label_gate.checks(budget, found, trained=True))
    assert outcomes(verdict.of_outputs(compare(reference, reference), "logits")) == {"neutral"}


def test_one_of_several_outputs_that_is_the_same_is_named() -> None:
    maps = {"c4": logits(1.0), "c5": logits(0.0)}
    verdict = judge(
        PRECISIONS["fp32"].budget, {8: compare_all(maps, maps)}, None, trained=True, of="maps"
    )
    assert verdict.constant == "the maps (c5) of every image are the same"


def test_a_passport_of_before_says_nothing_of_it() -> None:
    numerics = Numerics(8, 0.1, 0.01, 0.99, 35.0, 0)
    assert Verdict((CHECK,)).of_outputs(numerics, "logits").constant is None
