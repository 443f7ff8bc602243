"""The rank of a label against chance: what few images cannot show is not refused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from resnet_convert.reference_check.label_findings import (
    LabelReferenceCheck,
    label_check,
    rank,
    varied,
)


def check(
    images: int, strength: float, labels: int = 3, positives: float = 0.3, seed: int = 0
) -> LabelReferenceCheck:
    """Logits that follow the labels by `strength` times their own noise."""
    generator = np.random.default_rng(seed)
    truth = generator.random((images, labels)) < positives
    truth[0], truth[1] = True, False
    logits = strength * np.where(truth, 1, -1) + generator.normal(0, 1, truth.shape)
    names = [f"l{i}" for i in range(labels)]
    return label_check("photos", names, truth, logits, logits >= 0)


def test_the_rank_is_the_area_under_the_roc_curve() -> None:
    generator = np.random.default_rng(5)
    truth = generator.random(200) < 0.2
    scores = np.round(truth + generator.normal(0, 1, 200), 1)  # many are equal
    assert rank(truth, scores) == pytest.approx(roc_auc_score(truth, scores))


@pytest.mark.parametrize("labels", [1, 3, 40])
@pytest.mark.parametrize("images", [100, 500])
def test_a_good_network_passes_and_one_at_chance_is_refused(images: int, labels: int) -> None:
    for seed in range(5):
        assert check(images, 1.5, labels, seed=seed).problem is None
        assert check(images, 0.0, labels, seed=seed).at_chance
        assert check(images, -1.5, labels, seed=seed).refused


@pytest.mark.parametrize("strength", [1.5, 0.0])
def test_few_images_refuse_nothing(strength: float) -> None:
    found = check(4, strength)
    assert not found.refused
    assert found.undecided == (found.problem is not None)


def test_a_rare_label_that_is_always_right_by_saying_no_is_at_chance() -> None:
    found = check(400, 0.0, labels=1, positives=0.05)
    assert found.at_chance
    assert found.chance > 90, "the accuracy alone would look good"


def test_two_labels_exchanged_among_many_are_named_in_a_warning() -> None:
    generator = np.random.default_rng(1)
    truth = np.eye(6, dtype=bool)[generator.integers(0, 6, 300)]
    logits = 3.0 * truth + generator.normal(0, 1, truth.shape)
    logits[:, [1, 4]] = logits[:, [4, 1]]
    found = label_check("photos", list("abcdef"), truth, logits, logits >= 1.5)
    assert "no better than chance: b, e" in (found.problem or "")
    assert not found.at_chance
    assert not found.refused, "a label that a network never learned looks the same"


def test_labels_without_both_kinds_of_images_are_left_out() -> None:
    truth = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 1]], bool)
    assert varied(truth).tolist() == [2]
