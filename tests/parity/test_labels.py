"""Decisions about labels: counted by hand, at thresholds, near them and far from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resnet_serve.activation import Activation, Kind
from resnet_serve.activation.contract import sigmoid
from resnet_serve.parity.labels import KEPT, NEAR, LabelDecisions, decide
from resnet_serve.passport.facts import decode, encode

HALF = Activation(Kind.SIGMOID, (0.5,))
TWO = Activation(Kind.SIGMOID, (0.5, 0.9))
# Images by labels. The second label needs 2.2 logits.
REFERENCE = np.array([[2.0, 3.0], [0.1, 2.0], [-2.0, 2.4], [-2.0, -3.0]], np.float32)
CONVERTED = np.array([[2.0, 3.1], [-0.1, 2.0], [-2.0, 2.0], [1.0, -3.0]], np.float32)


def test_decisions_are_counted_at_each_labels_threshold() -> None:
    found = decide(TWO, REFERENCE, CONVERTED, names=("cat", "dog"))
    assert found.agreement == 1 - 3 / 8
    assert found.exact_match == 1 - 3 / 4
    assert found.changed == (3, 2, 1)  # 2.0, 0.2 and 0.1 from the threshold
    cat, dog = found.labels
    assert (cat.name, cat.rarer, cat.changed, cat.clear) == ("cat", 3, 2, 1)
    assert (dog.name, dog.rarer, dog.changed, dog.clear) == ("dog", 2, 1, 0)
    assert found.worst is cat
    assert found.accuracy is None


def test_a_change_costs_what_the_reference_gave_for_it() -> None:
    found = decide(TWO, REFERENCE, CONVERTED)
    p = sigmoid(np.array([0.1, 2.4, -2.0]))
    cost = [abs(p[0] - 0.5) / 0.5, abs(p[1] - 0.9) / 0.9, abs(p[2] - 0.5) / 0.5]
    assert found.margin_points == pytest.approx(100 * sum(cost) / 4)
    low, high = found.margin_interval
    assert low < found.margin_points < high
    assert [label.name for label in found.labels] == ["label 0", "label 1"]


def test_known_labels_add_paired_accuracies() -> None:
    truth = np.array([[1, 1], [1, 0], [0, 1], [1, 0]])
    found = decide(TWO, REFERENCE, CONVERTED, truth)
    accuracy = found.accuracy
    assert accuracy is not None
    assert (accuracy.reference, accuracy.converted) == (100 * 7 / 8, 100 * 6 / 8)
    assert (accuracy.reference_exact, accuracy.converted_exact) == (75, 50)
    assert (accuracy.gained, accuracy.lost, accuracy.difference_points) == (1, 2, -25)
    cat, dog = found.labels
    assert (cat.positives, cat.gained, cat.lost) == (3, 1, 1)
    assert (dog.reference_f1, dog.converted_f1) == (1, pytest.approx(2 / 3))
    assert (dog.reference_ap, dog.converted_ap) == (1, pytest.approx((1 + 2 / 3) / 2))


def test_one_output_is_right_or_wrong_per_image() -> None:
    reference, converted = (each[:, :1] for each in (REFERENCE, CONVERTED))
    for truth in (np.array([1, 1, 0, 0]), np.array([[1], [1], [0], [0]])):
        accuracy = decide(HALF, reference, converted, truth).accuracy
        assert accuracy is not None
        assert (accuracy.reference, accuracy.converted) == (100, 50)
        assert accuracy.reference == accuracy.reference_exact


def test_folders_of_several_labels_are_one_label_each() -> None:
    accuracy = decide(TWO, REFERENCE, CONVERTED, np.array([0, 0, 1, 1])).accuracy
    assert accuracy is not None
    assert (accuracy.reference_exact, accuracy.reference) == (50, 100 * 6 / 8)


def test_averages_are_compared_as_probabilities() -> None:
    as_logits = decide(TWO, REFERENCE, CONVERTED)
    probabilities = [sigmoid(each).astype(np.float32) for each in (REFERENCE, CONVERTED)]
    found = decide(TWO, *probabilities, probabilities=True)
    assert replace(found, margin_points=0, margin_interval=(0, 0)) == replace(
        as_logits, margin_points=0, margin_interval=(0, 0)
    )
    assert found.margin_points == pytest.approx(as_logits.margin_points, abs=1e-3)


def test_rounding_at_a_threshold_is_no_clear_change() -> None:
    reference = np.array([[NEAR - 0.01], [NEAR + 0.01]], np.float32)
    found = decide(HALF, reference, -reference)
    assert (found.labels[0].changed, found.labels[0].clear) == (2, 1)


@pytest.mark.parametrize("truth", [None, np.array([[1, 1], [1, 0], [0, 1], [1, 0]])])
def test_a_passport_keeps_them(truth: np.ndarray | None) -> None:
    found = decide(TWO, REFERENCE, CONVERTED, truth)
    assert decode(LabelDecisions, encode(found), "label_decisions") == found


def test_what_is_not_finite_is_a_changed_decision() -> None:
    found = decide(HALF, np.array([[3.0]], np.float32), np.array([[np.nan]], np.float32))
    assert found.agreement == 0


@pytest.mark.parametrize("labels", [1, 5, 50, 400])
def test_a_passport_has_rows_for_the_worst_labels_and_counts_of_the_others(labels: int) -> None:
    generator = np.random.default_rng(3)
    reference = generator.normal(0, 3, (200, labels)).astype(np.float32)
    noise = generator.normal(0, np.linspace(0, 2, labels), reference.shape)
    found = decide(
        Activation(Kind.SIGMOID, (0.5,)), reference, (reference + noise).astype(np.float32)
    )
    kept = found.bounded()
    assert len(kept.labels) == min(labels, KEPT)
    assert len(kept.labels) + kept.left_out == labels
    total = sum(each.changed for each in found.labels)
    assert sum(each.changed for each in kept.labels) + kept.left_out_changed == total
    assert kept.worst == found.worst
    assert str(kept) == str(found)
    assert kept.bounded() == kept
