"""The verdict on PyTorch's own accuracy, and what it says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from resnet_convert.reference_check.findings import ReferenceCheck, chance_of
from resnet_convert.reference_check.label_orders import LabelOrder
from resnet_convert.reference_check.search import Assumed, Better
from resnet_serve.preprocessing import Preprocessing

NAMES = tuple("abcdefghij")


def check(right: int, images: int, chance: float = 0.1, **more: object) -> ReferenceCheck:
    return ReferenceCheck("photos", images, right, chance, NAMES, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("right", "images", "chance", "at_chance", "undecided"),
    [
        (20, 200, 0.1, True, False),
        (0, 200, 0.1, True, False),  # below chance: labels in another order
        (1, 10, 0.1, True, False),
        (2, 10, 0.1, False, True),
        (1, 1, 0.1, False, True),
        (5, 6, 0.5, False, True),
        (60, 200, 0.1, False, False),
        (0, 200, 0.001, True, False),
        (100, 200, 0.5, True, False),
        (120, 200, 0.5, False, False),
        (2, 2, 0.1, False, False),
    ],
)
def test_chance_is_told_from_accuracy(
    right: int, images: int, chance: float, at_chance: bool, undecided: bool
) -> None:
    found = check(right, images, chance)
    assert (found.at_chance, found.undecided) == (at_chance, undecided)
    assert found.refused == at_chance
    assert (found.problem is not None) == (at_chance or undecided)


@pytest.mark.parametrize(
    ("expected", "refused"), [(81.0, False), (76.1, False), (90.0, True), (60.0, True)]
)
def test_the_expected_accuracy_must_be_in_the_interval(expected: float, refused: bool) -> None:
    found = check(160, 200, expected=expected)  # 80 %, 73.8 to 85.3
    assert found.refused == refused
    assert (found.problem is not None and "--expect-top1" in found.problem) == refused


@pytest.mark.parametrize(("gained", "after", "refused"), [(6, 83.0, False), (12, 86.0, True)])
def test_a_better_hypothesis_refuses_from_five_points_on(
    gained: int, after: float, refused: bool
) -> None:
    order = LabelOrder("the labels sorted alphabetically", tuple(range(10)))
    better = Better(Assumed(Preprocessing()).with_order(order), 200, 160, gained, 0)
    found = check(160, 200, better=better)
    assert found.refused == refused
    assert found.problem is not None
    assert f"with the labels sorted alphabetically: 80.0 → {after} % on 200" in found.problem
    assert json.dumps(NAMES) in found.remedy
    assert json.loads(json.dumps(found.to_json()))["better"]["labels"] == list(NAMES)


@pytest.mark.parametrize(
    ("images", "right", "gained", "lost", "refused"),
    [
        (16, 13, 2, 0, False),  # 81.2 → 93.8 %
        (16, 10, 4, 0, False),
        (16, 2, 12, 0, True),
        (40, 32, 5, 0, True),
        (40, 32, 7, 2, False),
        (160, 130, 20, 0, True),  # 81.2 → 93.8 % again
        (160, 130, 26, 18, False),
        (1600, 1300, 260, 180, True),  # the same 5 points
    ],
)
def test_a_refusal_needs_images_enough_for_the_gain(
    images: int, right: int, gained: int, lost: int, refused: bool
) -> None:
    scaled = Assumed(Preprocessing(), changes=(("scale", "mean and std 0.5"),))
    better = Better(scaled, images, right, gained, lost)
    assert better.points >= 5
    found = check(right, images, better=better)
    assert found.refused == refused
    assert found.problem is not None, "it is said in any case"
    assert f"{better.before:.1f} → {better.after:.1f} % on {images}" in found.problem
    assert ("too few to say by how much" in found.problem) == (not refused)
    assert ("if the training had that" in found.remedy) == (not refused)
    assert "--force" not in found.remedy, "a warning refuses nothing"
    assert "limits" not in found.remedy, "what is not known to differ is left out"


def test_many_labels_are_not_written_into_a_sentence() -> None:
    names = tuple(f"class {index}" for index in range(1000))
    order = LabelOrder("the labels sorted alphabetically", tuple(range(1000)))
    better = Better(Assumed(Preprocessing()).with_order(order), 200, 20, 120, 0)
    found = ReferenceCheck("photos", 200, 20, 0.001, names, better=better)
    assert "contains the labels sorted alphabetically" in found.remedy
    assert len(found.remedy) < 200


def test_a_constant_decision_to_an_uneven_set_is_chance() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    assert chance_of(labels, np.zeros_like(labels), 10) == pytest.approx(0.9)
    assert chance_of(labels, labels, 10) == pytest.approx(0.82)
    assert chance_of(np.zeros(5, dtype=np.int64), np.zeros(5, dtype=np.int64), 10) == 0.1
