"""Search: the preprocessing and label order under which the reference is clearly better.

    given ─► every hypothesis on few images ─► the best on all ─► exact tests of the pairs ─► again

The gain in accuracy is tested (McNemar), and on how many images the right class gets more of the
probability (the sign test), which shows on few images what their decisions do not show yet. The
sign test says that something is better, not by how much: `Better.interval` is of that.

What is found replaces what was given, and the remaining hypotheses are tried on top of it, so that
two mistakes are found as well as one. The level of the test is shared among all that was tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from resnet_convert.reference_check.hypotheses import hypotheses
from resnet_convert.reference_check.label_orders import LabelOrder, from_confusion, label_orders
from resnet_convert.reference_check.probe import Probe
from resnet_serve.datasets.selection import positions
from resnet_serve.parity.accuracy import mcnemar_exact, newcombe_interval
from resnet_serve.preprocessing import Preprocessing

SCREENED = 64  # images that every hypothesis is tried on
CONFIRMED = 2  # hypotheses that are tried on all images
ROUNDS = 3
LEVEL = 0.05
LABELS = "labels"
LEAST_POINTS = 2.0


@dataclass(frozen=True)
class Assumed:
    """A preprocessing and an order of the labels; `changes` are by axis, to what was given."""

    preprocessing: Preprocessing
    order: LabelOrder | None = None
    changes: tuple[tuple[str, str], ...] = ()

    def changed(self, axis: str) -> bool:
        """Whether a change along the axis was made."""
        return any(axis == each for each, _ in self.changes)

    def with_order(self, order: LabelOrder) -> Assumed:
        """With another order of the labels."""
        return replace(self, order=order, changes=(*self.changes, (LABELS, order.name)))

    def right(self, labels: NDArray[np.int64], decisions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which decisions [N] are right, for labels [N] in the given order."""
        expected = labels if self.order is None else self.order.applied(labels)
        return np.asarray(decisions == expected)

    def log_shares(
        self, labels: NDArray[np.int64], logits: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Logarithms of the right classes' probabilities [N], of logits [N,classes]."""
        expected = labels if self.order is None else self.order.applied(labels)
        shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
        right = shifted[np.arange(len(labels)), expected]
        return np.asarray(right - np.log(np.exp(shifted).sum(axis=1)))


@dataclass(frozen=True)
class Better:
    """What is clearly better than the given; `right` of `images` were right with the given.

    With it `gained` others are right, and `lost` are not any more.
    """

    assumed: Assumed
    images: int
    right: int
    gained: int
    lost: int

    @property
    def before(self) -> float:
        """Top-1 with the given, in percent."""
        return 100 * self.right / self.images

    @property
    def after(self) -> float:
        """Top-1 with what is better, in percent."""
        return 100 * (self.right + self.gained - self.lost) / self.images

    @property
    def points(self) -> float:
        """The gain in percentage points."""
        return self.after - self.before

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the gain in percentage points, of pairs."""
        both = self.right - self.lost
        low, high = newcombe_interval(both, self.gained, self.lost, self.images)
        return 100 * low, 100 * high

    @property
    def what(self) -> str:
        """Its changes, in words."""
        return " and ".join(name for _, name in self.assumed.changes)


def search(
    probe: Probe, labels: NDArray[np.int64], names: Sequence[str], given: Preprocessing
) -> Better | None:
    """The clearly better assumption, or None.

    `labels` [N] index `names`; these are empty where the images have no names for their classes, so
    that no order of names could change anything.
    """
    every = range(len(labels))
    first = best = Assumed(given)
    tried = 0
    for _ in range(ROUNDS):
        rows = positions(len(labels), SCREENED)
        candidates = list(_candidates(probe, best, labels, names))
        tried += len(candidates)
        gains = {each: _net(probe, best, each, labels, rows) for each in candidates}
        ahead = sorted((each for each in candidates if gains[each] > 0), key=lambda c: -gains[c])
        confirmed = {each: _net(probe, best, each, labels, every) for each in ahead[:CONFIRMED]}
        found = max(confirmed, key=lambda each: confirmed[each], default=None)
        if found is None or not _clear(probe, best, found, labels, tried):
            break
        best = found
    return None if best is first else _better(probe, first, best, labels)


def _candidates(
    probe: Probe, best: Assumed, labels: NDArray[np.int64], names: Sequence[str]
) -> Iterator[Assumed]:
    """Every assumption that differs from the best one in one axis that was not changed yet."""
    for each in hypotheses(best.preprocessing):
        if not best.changed(each.axis):
            changes = (*best.changes, (each.axis, each.name))
            yield replace(best, preprocessing=each.preprocessing, changes=changes)
    if best.changed(LABELS) or not names:
        return
    known = {tuple(range(len(names)))}
    for order in label_orders(names):
        known.add(order.order)
        yield best.with_order(order)
    # Fitted on every other image, so that the images between them can refute it.
    fitted = range(0, len(labels), 2)
    decisions = probe.decisions(best.preprocessing, fitted)
    shown = from_confusion(labels[fitted], decisions, len(names))
    if shown is not None and shown.order not in known:
        yield best.with_order(shown)


def _judged_on(assumed: Assumed, rows: Sequence[int]) -> Sequence[int]:
    """The rows without those that an order of the labels was fitted on."""
    fitted = assumed.order is not None and assumed.order.fitted
    return [row for row in rows if row % 2] if fitted else rows


def _pairs(
    probe: Probe,
    before: Assumed,
    after: Assumed,
    labels: NDArray[np.int64],
    rows: Sequence[int],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    rows = _judged_on(after, rows)
    chosen = labels[list(rows)]
    return (
        before.right(chosen, probe.decisions(before.preprocessing, rows)),
        after.right(chosen, probe.decisions(after.preprocessing, rows)),
    )


def _net(
    probe: Probe,
    before: Assumed,
    after: Assumed,
    labels: NDArray[np.int64],
    rows: Sequence[int],
) -> float:
    """Gains minus losses, as a share of the images."""
    was, now = _pairs(probe, before, after, labels, rows)
    return float(now.mean() - was.mean()) if len(was) else 0.0


def _clear(
    probe: Probe, before: Assumed, after: Assumed, labels: NDArray[np.int64], tried: int
) -> bool:
    rows = _judged_on(after, range(len(labels)))
    was, now = _pairs(probe, before, after, labels, rows)
    gained, lost = int((now & ~was).sum()), int((was & ~now).sum())
    if 100 * (gained - lost) < LEAST_POINTS * len(was):
        return False
    chosen = labels[list(rows)]
    first = before.log_shares(chosen, probe.logits(before.preprocessing, rows))
    second = after.log_shares(chosen, probe.logits(after.preprocessing, rows))
    rose, fell = int((second > first).sum()), int((second < first).sum())
    tests = [mcnemar_exact(gained, lost)]
    if rose > fell:
        tests.append(mcnemar_exact(rose, fell))
    return min(tests) * len(tests) * tried < LEVEL


def _better(probe: Probe, first: Assumed, best: Assumed, labels: NDArray[np.int64]) -> Better:
    was, now = _pairs(probe, first, best, labels, range(len(labels)))
    gained, lost = int((now & ~was).sum()), int((was & ~now).sum())
    return Better(best, len(was), int(was.sum()), gained, lost)
