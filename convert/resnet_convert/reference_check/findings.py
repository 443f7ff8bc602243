"""Findings: the reference's accuracy against chance, expectation and better hypotheses, in words.

Chance is what decisions that ignore the images would reach: one in so many classes, or more where
both the labels and the decisions prefer the same classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_convert.reference_check.search import LABELS, Better
from resnet_serve.parity.binomial import exact_interval
from resnet_serve.preprocessing import Preprocessing

REFUSED_POINTS = 5.0
_LISTED = 40  # labels, up to which an order is written out


@dataclass(frozen=True)
class ReferenceCheck:
    """PyTorch's own accuracy: `right` of `images`, where guessing reaches the share `chance`.

    `expected` is --expect-top1 in percent. `better` is what explains a low accuracy, `names` the
    labels in the given order.
    """

    source: str
    images: int
    right: int
    chance: float
    names: tuple[str, ...]
    expected: float | None = None
    better: Better | None = None

    @property
    def top1(self) -> float:
        """In percent."""
        return 100 * self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval of top-1, in percent."""
        low, high = exact_interval(self.right, self.images)
        return 100 * low, 100 * high

    @property
    def at_chance(self) -> bool:
        """Whether it is no better than chance, on images enough to say so.

        The interval reaches down to chance, and does not reach half-way from chance to all right.
        """
        low, high = self.interval
        return low <= 100 * self.chance and high < 50 * (1 + self.chance)

    @property
    def undecided(self) -> bool:
        """Whether there are too few images to tell it from chance."""
        return self.interval[0] <= 100 * self.chance and not self.at_chance

    @property
    def unexpected(self) -> bool:
        """Whether the interval leaves out what is expected."""
        low, high = self.interval
        return self.expected is not None and not low <= self.expected <= high

    @property
    def refused(self) -> bool:
        """Whether a conversion of this reference would prove the wrong thing."""
        return self.at_chance or self.unexpected or self.clearly_worse

    @property
    def clearly_worse(self) -> bool:
        """Whether the given is worse than what is better by points that matter, on enough images.

        The interval of the gain leaves out zero: 2 decisions of 16 are 12 points, and no proof.
        """
        better = self.better
        return better is not None and better.points >= REFUSED_POINTS and better.interval[0] > 0

    @property
    def measured(self) -> str:
        """The accuracy with its interval."""
        low, high = self.interval
        return f"{self.top1:.1f} % top-1 on {self.images} images (95 % {low:.1f}–{high:.1f})"

    @property
    def problem(self) -> str | None:
        """What is wrong, or may be, in one sentence; None where nothing is."""
        said = list(self._said())
        return f"PyTorch itself has {self.measured}{''.join(said)}" if said else None

    @property
    def remedy(self) -> str:
        """What to do about it."""
        if self.better is not None:
            trained = "" if self.refused else ", if the training had that"
            return f"{_explained(self.better, self.names)}{trained}."
        return (
            "Check --preprocessing (scale, mean and std, channel order, resize), the order of "
            "--labels, and that the images are of this network's classes."
        )

    def _said(self) -> Iterator[str]:
        if self.at_chance:
            yield (
                f", no better than chance ({100 * self.chance:.1f} %): the preprocessing, the "
                "channel order or the order of the labels is wrong"
            )
        if self.unexpected:
            yield f", which leaves out the {self.expected:g} % that --expect-top1 names"
        if self.undecided:
            yield f", too few images to tell it from chance ({100 * self.chance:.1f} %)"
        if self.better is not None:
            yield (
                f"; with {self.better.what}: {self.better.before:.1f} → {self.better.after:.1f} % "
                f"on {self.better.images} images"
            )
            low, high = self.better.interval
            if low <= 0:
                yield f", too few to say by how much (95 % {low:+.1f} to {high:+.1f} points)"

    def to_json(self) -> dict[str, object]:
        """The numbers, and what is better, by name."""
        better = self.better
        return {
            "images": self.images,
            "top1": self.top1,
            "interval": list(self.interval),
            "chance": 100 * self.chance,
            "expected": self.expected,
            "refused": self.refused,
            "problem": self.problem,
            "remedy": self.remedy if self.problem else None,
            "better": None
            if better is None
            else {
                "what": better.what,
                "images": better.images,
                "top1_before": better.before,
                "top1_after": better.after,
                "interval_points": list(better.interval),
                "preprocessing": asdict(better.assumed.preprocessing),
                "labels": None
                if better.assumed.order is None
                else list(better.assumed.order.names(self.names)),
            },
        }


def chance_of(labels: NDArray[np.int64], decisions: NDArray[np.int64], classes: int) -> float:
    """The share of labels [N] that decisions [N] of the same frequencies meet by chance."""
    one = 1 / classes
    if len(np.unique(labels)) < 2:
        return one
    frequencies = [np.bincount(each, minlength=classes) / len(each) for each in (labels, decisions)]
    return max(one, float(frequencies[0] @ frequencies[1]))


def _explained(better: Better, names: tuple[str, ...]) -> str:
    """The options that make the change, with what their files contain."""
    options = []
    assumed = better.assumed
    if any(axis != LABELS for axis, _ in assumed.changes):
        fields = json.loads(assumed.preprocessing.to_json())
        if assumed.preprocessing.limits == Preprocessing().limits:
            del fields["limits"]
        shown = json.dumps(fields, sort_keys=True)
        options.append(f"--preprocessing with a file that contains {shown}")
    if assumed.order is not None:
        listed = json.dumps(assumed.order.names(names), ensure_ascii=False)
        shown = listed if len(names) <= _LISTED else assumed.order.name
        options.append(f"--labels with a file that contains {shown}")
    return "Give " + " and ".join(options)
