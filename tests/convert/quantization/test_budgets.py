"""What a budget allows, and the evaluation that is compared with it."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_convert.quantization.budgets import Budgets, Evaluation
from resnet_serve.errors import UsageError


@pytest.mark.parametrize(
    ("budgets", "agreement", "lost", "holds"),
    [
        (Budgets(), 0.0, 100.0, True),
        (Budgets(agreement=0.99), 0.99, None, True),
        (Budgets(agreement=0.99), 0.9899, None, False),
        (Budgets(top1_points=0.5), 0.5, 0.5, True),
        (Budgets(top1_points=0.5), 1.0, 0.51, False),
        (Budgets(top1_points=0.5, agreement=0.99), 0.98, -1.0, False),
    ],
)
def test_both_budgets_must_hold(
    budgets: Budgets, agreement: float, lost: float | None, holds: bool
) -> None:
    assert budgets.hold(Evaluation(agreement, 20.0, lost)) == holds


def test_top1_without_labels_is_refused() -> None:
    with pytest.raises(UsageError, match="labels"):
        Budgets(top1_points=0.5).hold(Evaluation(1.0, 20.0))


def test_an_evaluation_counts_the_points_lost() -> None:
    reference = np.eye(4, dtype=np.float32)
    converted = reference[[0, 1, 2, 2]]
    found = Evaluation.of(reference, converted, np.arange(4))
    assert (found.agreement, found.top1_points_lost) == (0.75, 25.0)
    assert Evaluation.of(reference, converted).top1_points_lost is None


@pytest.mark.parametrize(
    ("budgets", "text"),
    [
        (Budgets(), "no budget"),
        (Budgets(agreement=0.995), "agreement ≥ 99.5 %"),
        (Budgets(0.5, 0.99), "top-1 lost ≤ 0.5 points, agreement ≥ 99 %"),
    ],
)
def test_budgets_as_text(budgets: Budgets, text: str) -> None:
    assert str(budgets) == text
