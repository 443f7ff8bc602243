"""Findings of a sigmoid's labels: how well PyTorch ranks the images of each, against chance.

Most labels are absent from most images, so that a network that never finds one is nearly always
right. Chance is told by the rank instead (Mann and Whitney): how often an image with the label has
the larger logit of two, one with it and one without. That is the area under the ROC curve, ½ for a
network that ignores the images, and near 0 where the two outcomes are exchanged. Its interval is of
rank sums that mean nothing, which is the widest:

    ± z · √((p + n + 1) / (12·p·n))    for p images with the label and n without
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist, fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

HALF_WAY = 0.75  # from chance to all right
_NAMED = 5  # labels that a sentence lists


@dataclass(frozen=True)
class LabelRank:
    """The rank of one label in [0, 1], within `low` and `high` at 95 % for all labels together."""

    name: str
    positives: int
    rank: float
    low: float
    high: float

    @property
    def at_chance(self) -> bool:
        """Whether it is no better than chance, on images enough to say so."""
        return self.low <= 0.5 and self.high < HALF_WAY

    @property
    def reversed(self) -> bool:
        """Whether it is shown to be worse than chance."""
        return self.high < 0.5


@dataclass(frozen=True)
class LabelReferenceCheck:
    """PyTorch's own decisions about labels on labelled images.

    `accuracy` of all decisions and `chance`, what decisions that ignore the images would reach, are
    in percent. `ranks` are of the labels that some images have and others have not; `labels` counts
    all. `half_width` is that of the mean rank's interval.
    """

    source: str
    images: int
    accuracy: float
    chance: float
    labels: int
    ranks: tuple[LabelRank, ...]
    half_width: float

    @property
    def rank(self) -> float:
        """The mean of the labels' ranks, in [0, 1]."""
        return fmean(each.rank for each in self.ranks)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean rank."""
        return max(0.0, self.rank - self.half_width), min(1.0, self.rank + self.half_width)

    @property
    def at_chance(self) -> bool:
        """Whether all labels together are no better than chance, on images enough to say so."""
        low, high = self.interval
        return low <= 0.5 and high < HALF_WAY

    @property
    def undecided(self) -> bool:
        """Whether there are too few images to tell it from chance."""
        return self.interval[0] <= 0.5 and not self.at_chance

    @property
    def refused(self) -> bool:
        """Whether a conversion of this reference would prove the wrong thing."""
        return self.at_chance or any(each.reversed for each in self.ranks)

    @property
    def measured(self) -> str:
        """The accuracy of the decisions, and the mean rank with its interval."""
        low, high = self.interval
        return (
            f"{self.accuracy:.1f} % of decisions right on {self.images} images (chance "
            f"{self.chance:.1f} %), area under the ROC curve {self.rank:.2f} "
            f"(95 % {low:.2f}–{high:.2f})"
        )

    @property
    def problem(self) -> str | None:
        """What is wrong, or may be, in one sentence; None where nothing is."""
        said = list(self._said())
        return f"PyTorch itself has {self.measured}{''.join(said)}" if said else None

    @property
    def remedy(self) -> str:
        """What to do about it."""
        if any(each.reversed for each in self.ranks) and self.labels == 1:
            return (
                "Exchange the two names in --labels if its output is high for the other outcome, "
                "and check --preprocessing."
            )
        return (
            "Check --preprocessing (scale, mean and std, channel order, resize), the order of "
            "--labels, and that the images are of this network's labels."
        )

    def _said(self) -> Iterator[str]:
        if self.at_chance:
            yield (
                ", no better than chance (0.5): the preprocessing, the channel order or the order "
                "of the labels is wrong"
            )
        elif self.undecided:
            yield ", too few images to tell it from chance (0.5)"
        worse = [each.name for each in self.ranks if each.reversed]
        if worse:
            yield f"; worse than chance: {_listed(worse)}"
        chance = [each.name for each in self.ranks if each.at_chance and not each.reversed]
        if chance and not self.at_chance:
            yield f"; no better than chance: {_listed(chance)}"

    def to_json(self) -> dict[str, object]:
        """The numbers by name, and each label's."""
        return {
            "images": self.images,
            "accuracy": self.accuracy,
            "chance": self.chance,
            "rank": self.rank,
            "interval": list(self.interval),
            "refused": self.refused,
            "problem": self.problem,
            "remedy": self.remedy if self.problem else None,
            "labels": [asdict(each) for each in self.ranks],
        }


def varied(truth: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The labels that some of the images have and others have not, of [N,labels]."""
    return np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0))


def label_check(
    source: str,
    names: Sequence[str],
    truth: NDArray[np.bool_],
    logits: NDArray[Any],
    decisions: NDArray[np.bool_],
) -> LabelReferenceCheck:
    """The check of logits and decisions [N,labels]; one label at least is `varied`."""
    tested = varied(truth)
    counts = {int(i): (int(truth[:, i].sum()), int((~truth[:, i]).sum())) for i in tested}
    z = NormalDist().inv_cdf(1 - 0.025 / len(tested))
    ranks = []
    for i, (positives, negatives) in counts.items():
        found = rank(truth[:, i], logits[:, i])
        width = z * _deviation(positives, negatives)
        low, high = max(0.0, found - width), min(1.0, found + width)
        ranks.append(LabelRank(names[i], positives, found, low, high))
    # As if the labels' ranks were all wrong by the same: they are of the same images.
    half_width = fmean(_deviation(*each) for each in counts.values())
    held, decided = truth.mean(axis=0), decisions.mean(axis=0)
    chance = np.maximum(held * decided + (1 - held) * (1 - decided), np.maximum(held, 1 - held))
    return LabelReferenceCheck(
        source=source,
        images=len(truth),
        accuracy=100 * float((truth == decisions).mean()),
        chance=100 * float(chance.mean()),
        labels=truth.shape[1],
        ranks=tuple(ranks),
        half_width=NormalDist().inv_cdf(0.975) * half_width,
    )


def rank(truth: NDArray[np.bool_], scores: NDArray[Any]) -> float:
    """How often an image with the label has the larger score; equal ones count one half."""
    values, inverse = np.unique(scores, return_inverse=True)
    positives = np.bincount(inverse[truth], minlength=len(values))
    negatives = np.bincount(inverse[~truth], minlength=len(values))
    below = np.cumsum(negatives) - negatives / 2
    return float((positives * below).sum() / (positives.sum() * negatives.sum()))


def _deviation(positives: int, negatives: int) -> float:
    return math.sqrt((positives + negatives + 1) / (12 * positives * negatives))


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
