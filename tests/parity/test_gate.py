"""The gate: every check can fail alone, and only binding checks fail a conversion."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from resnet_serve.parity.accuracy import Decisions
from resnet_serve.parity.gate import Budget, judge
from resnet_serve.parity.numerics import Numerics

BUDGET = Budget(cosine=0.99, sqnr_db=30, agreement=0.97, top1_points=0.5)
GOOD = Numerics(images=8, max_abs=0.1, relative=0.01, cosine=0.995, sqnr_db=35, worst=0)
CLOSE = Decisions(
    images=100,
    top1_agreement=0.98,
    top5_agreement=1,
    changed=(3, 4),
    labelled=True,
    reference_top1=90,
    converted_top1=89.8,
    difference_points=-0.2,
)


def test_all_is_well() -> None:
    verdict = judge(BUDGET, {1: GOOD, 8: GOOD}, CLOSE, trained=True)
    assert verdict.passed
    assert verdict.failures == ()
    assert len(verdict.checks) == 2 * 2 + 2


@pytest.mark.parametrize(
    ("numerics", "decisions", "name"),
    [
        ({"cosine": 0.9899}, {}, "cosine of the logits, batch 8"),
        ({"cosine": -1.0}, {}, "cosine of the logits, batch 8"),
        ({"cosine": math.nan}, {}, "cosine of the logits, batch 8"),
        ({"sqnr_db": 29.9}, {}, "SQNR of the logits, batch 8"),
        ({"sqnr_db": math.nan}, {}, "SQNR of the logits, batch 8"),
        ({}, {"top1_agreement": 0.9699}, "top-1 agreement"),
        ({}, {"top1_agreement": math.nan}, "top-1 agreement"),
        ({}, {"difference_points": -0.51}, "top-1 lost"),
        ({}, {"difference_points": math.nan}, "top-1 lost"),
    ],
)
def test_each_check_fails_alone(
    numerics: dict[str, float], decisions: dict[str, float], name: str
) -> None:
    bad = dataclasses.replace(GOOD, **numerics)
    changed = dataclasses.replace(CLOSE, **decisions)
    verdict = judge(BUDGET, {1: GOOD, 8: bad}, changed, trained=True)
    assert not verdict.passed
    assert [check.name for check in verdict.failures] == [name]


def test_either_batch_size_can_fail() -> None:
    """User-pains B7: a graph can be right at one batch size and wrong at another."""
    bad = dataclasses.replace(GOOD, cosine=0.5)
    verdict = judge(BUDGET, {1: bad, 8: GOOD}, CLOSE, trained=True)
    assert [check.name for check in verdict.failures] == ["cosine of the logits, batch 1"]


def test_the_limits_themselves_pass() -> None:
    edge = dataclasses.replace(GOOD, cosine=0.99, sqnr_db=30)
    limit = dataclasses.replace(CLOSE, top1_agreement=0.97, difference_points=-0.5)
    assert judge(BUDGET, {1: edge}, limit, trained=True).passed


def test_a_gain_is_no_loss() -> None:
    better = dataclasses.replace(CLOSE, difference_points=3.0)
    assert judge(BUDGET, {1: GOOD}, better, trained=True).passed


def test_an_untrained_network_is_not_bound_by_its_decisions() -> None:
    wild = dataclasses.replace(CLOSE, top1_agreement=0.1, difference_points=-50.0)
    verdict = judge(BUDGET, {1: GOOD}, wild, trained=False)
    assert verdict.passed
    shown = {check.name: check for check in verdict.checks}
    assert not shown["top-1 agreement"].passed
    assert not shown["top-1 agreement"].binding


def test_an_untrained_network_is_bound_by_its_numbers() -> None:
    bad = dataclasses.replace(GOOD, cosine=0.9)
    assert not judge(BUDGET, {1: bad}, CLOSE, trained=False).passed


def test_without_labels_there_is_no_accuracy_to_check() -> None:
    unlabelled = dataclasses.replace(CLOSE, labelled=False, difference_points=None)
    verdict = judge(BUDGET, {1: GOOD}, unlabelled, trained=True)
    assert "top-1 lost" not in {check.name for check in verdict.checks}


def test_what_was_found_and_allowed_is_said() -> None:
    verdict = judge(BUDGET, {8: dataclasses.replace(GOOD, cosine=0.5)}, CLOSE, trained=True)
    (failure,) = verdict.failures
    assert (failure.found, failure.allowed) == ("0.500000", "≥ 0.99")
    assert json.loads(json.dumps(verdict.to_json()))["passed"] is False
