"""Whether two networks decide equally about labels: per label, at its threshold.

A sigmoid decides for or against each label. A changed decision counts by how far the reference was
from the threshold t of the label, and an image by its largest:

    lost by margin = mean over all images of max over changed labels of |p − t| / max(t, 1 − t)

At t = ½ that is |2p − 1|, what the change costs in accuracy if the reference's probabilities are
right, so that it has the same limit as the decisions for one class (`accuracy.py`).

Most labels are absent from most images, and a network that never finds a rare one is nearly always
right. Of each label the clear changes are therefore counted among the images that either network
has on its rarer side. A change is clear where the reference's logit is NEAR or further from the
threshold: rounding does not move a decision that far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.activation import Activation
from resnet_serve.activation.contract import to_logits
from resnet_serve.parity.accuracy import margin_interval, mcnemar_exact, newcombe_interval
from resnet_serve.parity.bounds import smallest_share
from resnet_serve.parity.ranking import average_precision, f1

KEPT = 50  # labels with a row of their own in a passport
NEAR = 0.5  # logits: the odds are within a factor of 1.65 of the threshold's


@dataclass(frozen=True)
class Label:
    """One label: how often both networks decide equally, and how well where the truth is known.

    `rarer` images are on its rarer side for either network; `changed` decisions differ, and
    `clear` ones by more than rounding. Accuracies are in percent; F1 and average precision (AP) in
    [0, 1], None without a positive image.
    """

    name: str
    index: int
    rarer: int
    changed: int
    clear: int
    positives: int | None = None
    reference_accuracy: float | None = None
    converted_accuracy: float | None = None
    gained: int | None = None
    lost: int | None = None
    reference_f1: float | None = None
    converted_f1: float | None = None
    reference_ap: float | None = None
    converted_ap: float | None = None

    @property
    def share(self) -> float:
        """The share of the rarer side whose decision changed clearly."""
        return self.clear / self.rarer if self.rarer else 0.0


@dataclass(frozen=True)
class LabelAccuracy:
    """Paired accuracies in percent: of single decisions, and of images with every label right.

    `gained` images only the converted network has right, `lost` only the reference;
    `interval_points` is Newcombe's of their difference, `mcnemar_p` McNemar's exact test.
    """

    reference: float
    converted: float
    reference_exact: float
    converted_exact: float
    gained: int
    lost: int
    difference_points: float
    interval_points: tuple[float, float]
    mcnemar_p: float


@dataclass(frozen=True)
class LabelDecisions:
    """Agreement over all images and labels, and `exact_match` over images, in [0, 1].

    `changed` are the images with a changed label, the clearest first. `margin_points` is what they
    lose by the reference's margins, within `margin_interval`, in points. `accuracy` is None without
    known labels. Of many labels a passport keeps the worst (`bounded`): then `left_out` are not
    among `labels`, and `left_out_changed` is how many decisions about those differ.
    """

    images: int
    agreement: float
    exact_match: float
    changed: tuple[int, ...]
    margin_points: float
    margin_interval: tuple[float, float]
    labels: tuple[Label, ...]
    accuracy: LabelAccuracy | None = None
    left_out: int = 0
    left_out_changed: int = 0

    @property
    def worst(self) -> Label:
        """The label for which most clear changes are shown."""
        return self._ranked()[0]

    def bounded(self, most: int = KEPT) -> LabelDecisions:
        """With the rows of the `most` worst labels alone, the worst first, and counts of the rest.

        All of them, in their own order, where they are not more.
        """
        if len(self.labels) <= most:
            return self
        ranked = self._ranked()
        rest = ranked[most:]
        return replace(
            self,
            labels=tuple(ranked[:most]),
            left_out=self.left_out + len(rest),
            left_out_changed=self.left_out_changed + sum(each.changed for each in rest),
        )

    def _ranked(self) -> list[Label]:
        count = len(self.labels) + self.left_out
        return sorted(
            self.labels,
            key=lambda label: (shown_changes(label, count), label.share, label.changed),
            reverse=True,
        )

    def __str__(self) -> str:
        one = len(self.labels) + self.left_out == 1
        whole = "" if one else f", {100 * self.exact_match:.2f} % in every label"
        return f"{100 * self.agreement:.2f} % of decisions on {self.images} images agree{whole}"


def decide(
    activation: Activation,
    reference: NDArray[np.float32],
    converted: NDArray[np.float32],
    labels: NDArray[np.int64] | None = None,
    *,
    names: Sequence[str] = (),
    probabilities: bool = False,
) -> LabelDecisions:
    """Compare the decisions of a sigmoid on logits [N,labels], or on `probabilities`.

    `labels` are 1 or 0, [N,labels] or [N] of one label, or the numbers of the only label of each
    image, [N]; they add accuracy.
    """
    logits: tuple[NDArray[Any], NDArray[Any]] = reference, converted
    if probabilities:
        logits = to_logits(reference), to_logits(converted)
    ours, theirs = (activation.margins(each) >= 0 for each in reversed(logits))
    changed = ours != theirs
    images, count = changed.shape
    distance = np.where(changed, np.abs(activation.margins(logits[0])), 0.0)
    cost = np.where(changed, _cost(activation, logits[0]), 0.0).max(axis=1, initial=0.0)
    total = float(cost.sum())
    low, high = margin_interval(total, images)
    rows = np.flatnonzero(changed.any(axis=1))
    order = np.argsort(-distance.max(axis=1, initial=0.0)[rows], kind="stable")
    found = LabelDecisions(
        images=images,
        agreement=float(1 - changed.mean()),
        exact_match=float(1 - changed.any(axis=1).mean()),
        changed=tuple(int(row) for row in rows[order]),
        margin_points=100 * total / images,
        margin_interval=(100 * low, 100 * high),
        labels=tuple(
            Label(
                name=names[index] if names else f"label {index}",
                index=index,
                rarer=int(
                    min(
                        (ours | theirs)[:, index].sum(),
                        (~ours | ~theirs)[:, index].sum(),
                    )
                ),
                changed=int(changed[:, index].sum()),
                clear=int((distance[:, index] >= NEAR).sum()),
            )
            for index in range(count)
        ),
    )
    if labels is None:
        return found
    return _with_truth(found, theirs, ours, *logits, truth_of(labels, count))


def _cost(activation: Activation, logits: NDArray[Any]) -> NDArray[np.float64]:
    """|p − t| / max(t, 1 − t); 1 for what is not finite."""
    p, t = activation.probabilities(logits), np.asarray(activation.thresholds)
    if p is None:
        raise TypeError("a sigmoid has probabilities")
    found: NDArray[np.float64] = np.abs(p - t) / np.maximum(t, 1 - t)
    return np.where(np.isfinite(found), found, 1.0)


def truth_of(labels: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """The known labels as [N,labels], from any form that `decide` takes."""
    if labels.ndim == 2:
        return labels.astype(bool)
    if count == 1:
        return labels.astype(bool)[:, None]
    return np.asarray(labels[:, None] == np.arange(count))


def _with_truth(
    found: LabelDecisions,
    theirs: NDArray[np.bool_],
    ours: NDArray[np.bool_],
    reference: NDArray[Any],
    converted: NDArray[Any],
    truth: NDArray[np.bool_],
) -> LabelDecisions:
    right, reference_right = ours == truth, theirs == truth
    whole, reference_whole = right.all(axis=1), reference_right.all(axis=1)
    gained = int((whole & ~reference_whole).sum())
    lost = int((~whole & reference_whole).sum())
    low, high = newcombe_interval(int((whole & reference_whole).sum()), gained, lost, len(truth))
    return replace(
        found,
        accuracy=LabelAccuracy(
            reference=100 * float(reference_right.mean()),
            converted=100 * float(right.mean()),
            reference_exact=100 * float(reference_whole.mean()),
            converted_exact=100 * float(whole.mean()),
            gained=gained,
            lost=lost,
            difference_points=100 * (gained - lost) / len(truth),
            interval_points=(100 * low, 100 * high),
            mcnemar_p=mcnemar_exact(gained, lost),
        ),
        labels=tuple(
            replace(
                label,
                positives=int(truth[:, i].sum()),
                reference_accuracy=100 * float(reference_right[:, i].mean()),
                converted_accuracy=100 * float(right[:, i].mean()),
                gained=int((right & ~reference_right)[:, i].sum()),
                lost=int((~right & reference_right)[:, i].sum()),
                reference_f1=f1(truth[:, i], theirs[:, i]),
                converted_f1=f1(truth[:, i], ours[:, i]),
                reference_ap=average_precision(truth[:, i], reference[:, i]),
                converted_ap=average_precision(truth[:, i], converted[:, i]),
            )
            for i, label in enumerate(found.labels)
        ),
    )


def shown_changes(label: Label, count: int) -> float:
    """The share of clear changes that is shown; the more labels, the surer each has to be."""
    return smallest_share(label.clear, label.rarer, confidence=1 - 0.05 / count)
