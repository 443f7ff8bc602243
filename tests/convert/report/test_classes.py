"""Accuracy and confusion by class, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_convert.parity.compare import Logits
from resnet_convert.report.classes import (
    MATRIX_CLASSES,
    ClassAccuracy,
    Confusion,
    confusions,
    matrices,
    per_class,
)

NAMES = ("cat", "dog", "eel")


def decided(before: list[int], after: list[int], labels: list[int] | None) -> Logits:
    one = np.eye(3, dtype=np.float32)
    return Logits(one[before], one[after], None if labels is None else np.array(labels))


FOUND = decided([0, 0, 1, 1, 0], [0, 1, 1, 1, 1], [0, 0, 0, 1, 1])


def test_the_class_that_changes_most_is_first_and_empty_classes_are_left_out() -> None:
    rows = per_class(FOUND, NAMES)
    assert rows == [ClassAccuracy("dog", 2, 1, 2), ClassAccuracy("cat", 3, 2, 1)]
    assert [row.points for row in rows] == pytest.approx([50, -100 / 3])


def test_confusions_are_counted_for_both() -> None:
    assert confusions(FOUND, NAMES) == [
        Confusion("cat", "dog", 1, 2),
        Confusion("dog", "cat", 1, 0),
    ]
    assert len(confusions(FOUND, NAMES, 1)) == 1


def test_matrices_are_shares_of_each_class() -> None:
    found = matrices(FOUND, NAMES)
    assert found["PyTorch"].shares[0] == pytest.approx([2 / 3, 1 / 3, 0])
    assert found["Converted"].shares[1] == pytest.approx([0, 1, 0])
    assert found["Converted"].shares[2].sum() == 0


def test_many_classes_have_no_matrix() -> None:
    names = tuple(map(str, range(MATRIX_CLASSES + 1)))
    zeros = np.zeros((2, len(names)), dtype=np.float32)
    assert matrices(Logits(zeros, zeros, np.array([0, 1])), names) == {}


def test_without_labels_there_is_nothing_to_say() -> None:
    found = decided([0], [0], None)
    assert (per_class(found, NAMES), confusions(found, NAMES), matrices(found, NAMES)) == (
        [],
        [],
        {},
    )
