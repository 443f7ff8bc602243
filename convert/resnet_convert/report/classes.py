"""Classes: the accuracy of each class, and which classes are taken for which, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_convert.parity.compare import Logits

ROWS = 20
CONFUSIONS = 12
MATRIX_CLASSES = 20  # up to which a whole confusion matrix is readable


@dataclass(frozen=True)
class ClassAccuracy:
    """A class, its images, and how many of them each network classifies correctly."""

    name: str
    images: int
    before: int
    after: int

    @property
    def points(self) -> float:
        """The change in percentage points."""
        return 100 * (self.after - self.before) / self.images


@dataclass(frozen=True)
class Confusion:
    """Images of one class that were taken for another: by PyTorch, and by the converted model."""

    label: str
    decision: str
    before: int
    after: int


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix [label, decision] over the classes `names`, as shares of a label's images.

    Rows of classes without images are zero.
    """

    names: tuple[str, ...]
    shares: NDArray[np.float64]


def per_class(logits: Logits, names: Sequence[str]) -> list[ClassAccuracy]:
    """The classes that have images, the largest change first; empty without labels."""
    if logits.labels is None:
        return []
    before, after = _counts(logits, logits.labels, len(names))
    rows = [
        ClassAccuracy(
            names[index],
            int(before[index].sum()),
            int(before[index, index]),
            int(after[index, index]),
        )
        for index in np.flatnonzero(before.sum(axis=1))
    ]
    return sorted(rows, key=lambda row: (-abs(row.points), row.points, row.name))


def confusions(logits: Logits, names: Sequence[str], count: int = CONFUSIONS) -> list[Confusion]:
    """The pairs of classes that are confused most often, by either network."""
    if logits.labels is None:
        return []
    before, after = _counts(logits, logits.labels, len(names))
    most = np.maximum(before, after)
    np.fill_diagonal(most, 0)
    found = []
    for cell in np.argsort(-most, axis=None, kind="stable")[:count]:
        label, decision = divmod(int(cell), len(names))
        if most[label, decision]:
            counts = int(before[label, decision]), int(after[label, decision])
            found.append(Confusion(names[label], names[decision], *counts))
    return found


def matrices(logits: Logits, names: Sequence[str]) -> dict[str, Matrix]:
    """Both confusion matrices, where there are few enough classes to read them."""
    if logits.labels is None or len(names) > MATRIX_CLASSES:
        return {}
    counts = dict(
        zip(("PyTorch", "Converted"), _counts(logits, logits.labels, len(names)), strict=True)
    )
    return {
        title: Matrix(tuple(names), found / np.maximum(found.sum(axis=1, keepdims=True), 1))
        for title, found in counts.items()
    }


def _counts(
    logits: Logits, labels: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images by label and decision, of the reference and of the converted model."""
    counted = []
    for outputs in (logits.reference, logits.converted):
        found = np.zeros((classes, classes), dtype=np.int64)
        np.add.at(found, (labels, outputs.argmax(axis=1)), 1)
        counted.append(found)
    return counted[0], counted[1]
