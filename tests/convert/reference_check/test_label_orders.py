"""Orders of labels: by rule, and as the network's decisions show."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_convert.reference_check.label_orders import LabelOrder, from_confusion, label_orders


@pytest.mark.parametrize(
    ("given_names", "found"),
    [
        (("b", "a"), {("a", "b")}),
        (("1", "2", "10"), {("1", "10", "2")}),
        (("1", "10", "2"), {("1", "2", "10")}),
        (("B", "a", "c"), {("a", "B", "c")}),
        (("a", "b", "c"), set()),
        (
            ("class 2", "class 10", "class 1"),
            {
                ("class 1", "class 10", "class 2"),
                ("class 1", "class 2", "class 10"),
            },
        ),
    ],
)
def test_rules_give_other_orders(given_names: tuple[str, ...], found: set[tuple[str, ...]]) -> None:
    assert {order.names(given_names) for order in label_orders(given_names)} == found


def test_labels_of_the_same_name_stay_apart() -> None:
    (order,) = label_orders(("crane", "ant", "crane"))
    assert order.order == (1, 0, 2)


@given(st.permutations(range(7)))
def test_an_order_maps_labels_to_its_logits(order: list[int]) -> None:
    names = tuple("abcdefg")
    found = LabelOrder("any", tuple(order))
    labels = np.arange(7)
    assert [found.names(names)[logit] for logit in found.applied(labels)] == list(names)


@given(st.permutations(range(6)), st.integers(0, 100))
def test_the_decisions_show_the_order(order: list[int], seed: int) -> None:
    made = LabelOrder("made", tuple(order))
    labels = np.repeat(np.arange(6), 20)
    decisions = made.applied(labels)
    wrong = np.random.default_rng(seed).random(len(labels)) < 0.2
    decisions = np.where(wrong, np.random.default_rng(seed).integers(0, 6, len(labels)), decisions)
    found = from_confusion(labels, decisions, 6)
    assert found is not None
    assert found.order == made.order
    assert found.fitted


def test_a_label_without_images_is_the_one_that_is_left() -> None:
    labels, decisions = np.array([0, 0, 2, 2]), np.array([1, 1, 0, 0])
    found = from_confusion(labels, decisions, 3)
    assert found is not None
    assert found.names("abc") == ("c", "a", "b")


def test_two_labels_without_images_leave_the_order_open() -> None:
    assert from_confusion(np.array([0, 0]), np.array([1, 1]), 3) is None
