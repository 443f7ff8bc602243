"""Label orders: in which other order the network's classes may stand.

A training script numbers its classes by the sorted names of its folders, a label file often by
their numbers: "10" stands before "2" in one and after it in the other. Where no rule fits, the
confusion matrix shows the order: the class that the network mostly decides for each label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelOrder:
    """`order[i]` is the given index of the label of logit `i`; `name` says the rule.

    An order that was `fitted` to images can be judged on other images only.
    """

    name: str
    order: tuple[int, ...]
    fitted: bool = False

    def applied(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Given class indices [N] as indices of the logits in this order."""
        position = np.empty(len(self.order), dtype=np.int64)
        position[list(self.order)] = np.arange(len(self.order))
        return position[labels]

    def names(self, given: Sequence[str]) -> tuple[str, ...]:
        """The given names, in the order of the logits."""
        return tuple(given[index] for index in self.order)


def label_orders(names: Sequence[str]) -> Iterator[LabelOrder]:
    """The orders by rule that differ from the given one and from each other."""
    seen = {tuple(range(len(names)))}
    for rule, key in (
        ("the labels sorted alphabetically", _plain),
        ("the labels sorted without regard to case", str.casefold),
        ("the labels sorted by their numbers", _numbers),
    ):
        order = tuple(sorted(range(len(names)), key=lambda index: key(names[index])))
        if order not in seen:
            seen.add(order)
            yield LabelOrder(rule, order)


def _plain(name: str) -> str:
    return name


def _numbers(name: str) -> list[tuple[int, str]]:
    """ "class 10" after "class 2"."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts if part]


def from_confusion(
    labels: NDArray[np.int64], decisions: NDArray[np.int64], classes: int
) -> LabelOrder | None:
    """The order under which the decisions [N] fit the labels [N] best, greedily.

    The most frequent pairs of label and decision are matched first. None where more than one
    label has no images, because nothing says where it belongs.
    """
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, decisions), 1)
    order = np.full(classes, -1, dtype=np.int64)
    free = np.ones(classes, dtype=bool)
    for cell in np.argsort(-counts, axis=None, kind="stable"):
        label, decision = divmod(int(cell), classes)
        if counts[label, decision] == 0:
            break
        if free[label] and order[decision] < 0:
            order[decision], free[label] = label, False
    if free.sum() > 1:
        return None
    order[order < 0] = np.flatnonzero(free)
    name = "the labels in the order that the network's decisions show"
    return LabelOrder(name, tuple(order.tolist()), fitted=True)
