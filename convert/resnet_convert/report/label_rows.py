"""The rows of a report about labels: each label's numbers, and the images whose labels changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from resnet_convert.parity.compare import Measurements
from resnet_serve.activation import Activation
from resnet_serve.parity.labels import Label

LABELS_SHOWN = 50


@dataclass(frozen=True)
class LabelRow:
    """One label as texts, of PyTorch and then of the converted network; "" where not known."""

    name: str
    threshold: str
    changed: str
    accuracy: str
    f1: str
    precision: str


def rows(found: Measurements, activation: Activation) -> Iterator[LabelRow]:
    """The labels with most clear changes first, then those with most changes; at most 50."""
    if found.label_decisions is None:
        return
    ranked = sorted(found.label_decisions.labels, key=lambda each: (-each.share, -each.changed))
    for each in ranked[:LABELS_SHOWN]:
        yield _row(each, activation.threshold(each.index))


def changed(
    found: Measurements, activation: Activation, names: Sequence[str], limit: int
) -> Iterator[tuple[int, str, str, str]]:
    """Index of an image, the labels of both networks and the right ones, "not known" without."""
    decided, logits = found.label_decisions, found.logits
    if decided is None or logits is None:
        return
    for index in decided.changed[:limit]:
        sides = (logits.reference[index], logits.converted[index])
        theirs, ours = (_names(activation.margins(each) >= 0, names, activation) for each in sides)
        yield index, theirs, ours, _right(found, index, names, activation)


def _row(label: Label, threshold: float) -> LabelRow:
    return LabelRow(
        name=label.name,
        threshold=f"{threshold:g}",
        changed=f"{label.changed:,}, clearly {label.clear:,} of {label.rarer:,}",
        accuracy=_pair(label.reference_accuracy, label.converted_accuracy, "{:.2f} %"),
        f1=_pair(label.reference_f1, label.converted_f1, "{:.3f}"),
        precision=_pair(label.reference_ap, label.converted_ap, "{:.3f}"),
    )


def _pair(before: float | None, after: float | None, form: str) -> str:
    if before is None or after is None:
        return ""
    return f"{form.format(before)} → {form.format(after)}"


def _right(found: Measurements, index: int, names: Sequence[str], activation: Activation) -> str:
    known = None if found.logits is None else found.logits.labels
    if known is None:
        return "not known"
    row = np.atleast_1d(known[index])
    if known.ndim == 1 and len(names) > 1:
        return names[int(row[0])]
    return _names(row.astype(bool), names, activation)


def _names(decided: np.typing.NDArray[np.bool_], names: Sequence[str], of: Activation) -> str:
    if len(names) == 1:
        return names[0] if decided[0] else of.negative or f"not {names[0]}"
    return ", ".join(names[i] for i in np.flatnonzero(decided)) or "none"
