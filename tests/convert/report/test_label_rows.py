"""The rows of a report about labels, from decisions that are counted by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from resnet_convert.report import label_rows
from resnet_serve.activation import Activation, Kind
from resnet_serve.parity.labels import decide

TWO = Activation(Kind.SIGMOID, (0.5, 0.9))
NAMES = ("cat", "dog")
REFERENCE = np.array([[2.0, 3.0], [0.1, 2.0], [-2.0, 2.4], [-2.0, -3.0]], np.float32)
CONVERTED = np.array([[2.0, 3.1], [-0.1, 2.0], [-2.0, 2.0], [1.0, -3.0]], np.float32)


def measured(
    activation: Activation, outputs: int, truth: np.ndarray | None = None
) -> SimpleNamespace:
    """As far as the rows need a comparison."""
    sides = REFERENCE[:, :outputs], CONVERTED[:, :outputs]
    return SimpleNamespace(
        logits=SimpleNamespace(reference=sides[0], converted=sides[1], labels=truth),
        label_decisions=decide(activation, *sides, truth, names=NAMES[:outputs]),
    )


def test_the_label_with_most_changes_is_first() -> None:
    found = list(label_rows.rows(measured(TWO, 2), TWO))
    assert [(each.name, each.threshold, each.changed) for each in found] == [
        ("cat", "0.5", "2, clearly 1 of 3"),
        ("dog", "0.9", "1, clearly 0 of 2"),
    ]
    assert found[0].accuracy == found[0].f1 == ""


def test_known_labels_are_shown_before_and_after() -> None:
    truth = np.array([[1, 1], [1, 0], [0, 1], [1, 0]])
    cat, dog = label_rows.rows(measured(TWO, 2, truth), TWO)
    assert cat.accuracy == "75.00 % → 75.00 %"
    assert dog.f1 == "1.000 → 0.667"


@pytest.mark.parametrize(
    ("truth", "right"),
    [
        (None, "not known"),
        (np.array([[1, 1], [1, 0], [0, 1], [0, 0]]), "none"),
        (np.array([0, 0, 1, 1]), "dog"),
    ],
)
def test_changed_images_show_the_labels_of_both(truth: np.ndarray | None, right: str) -> None:
    found = list(label_rows.changed(measured(TWO, 2, truth), TWO, NAMES, 2))
    assert [each[:3] for each in found] == [(3, "none", "cat"), (2, "dog", "none")]
    assert found[0][3] == right


@pytest.mark.parametrize(("negative", "shown"), [(None, "not cat"), ("wolf", "wolf")])
def test_one_output_has_two_names(negative: str | None, shown: str) -> None:
    half = Activation(Kind.SIGMOID, (0.5,), negative)
    found = measured(half, 1, np.array([1, 1, 0, 0]))
    (first, *_) = label_rows.changed(found, half, ("cat",), 1)
    assert first == (3, shown, "cat", shown)
