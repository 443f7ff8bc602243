"""The stage: PyTorch's accuracy on some labelled images, before anything is converted."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from resnet_convert.head import CLASSIFIER
from resnet_convert.parity.parity_error import RefusedError
from resnet_convert.parity.reference import Reference
from resnet_convert.reference_check.findings import ReferenceCheck, chance_of
from resnet_convert.reference_check.label_findings import (
    LabelReferenceCheck,
    label_check,
    varied,
)
from resnet_convert.reference_check.probe import Probe
from resnet_convert.reference_check.search import LEAST_POINTS, search
from resnet_convert.stage_log import StageLog, StageName
from resnet_serve.comparison.distances import BATCH_SIZE
from resnet_serve.datasets import ImageFolder, Images
from resnet_serve.datasets.selection import Selection, spread
from resnet_serve.errors import UsageError
from resnet_serve.parity.labels import truth_of
from resnet_serve.weights import Weights
from resnet_serve.weights.assumptions import Assumption, Subject

# At 224 × 224 pixels; of smaller images more, in the same time.
IMAGES, MOST_IMAGES = 200, 500
_PIXELS = 224 * 224
Checked = ReferenceCheck | LabelReferenceCheck


class ReferenceRefusedError(RefusedError):
    """The reference itself is not to be believed; `found` says why."""

    def __init__(self, found: Checked) -> None:
        self.found = found
        super().__init__(
            f"{found.problem}; nothing was converted",
            where=found.source,
            remedy=f"{found.remedy.removesuffix('.')}; or --force it.",
        )

    def facts(self) -> dict[str, object]:
        """PyTorch's own accuracy, and what is better."""
        return {"reference": self.found.to_json()}


def check_reference(
    reference: Reference,
    images: Images,
    log: StageLog,
    *,
    expected: float | None = None,
    force: bool = False,
) -> Checked | None:
    """The accuracy of the reference on labelled images; None where it has none to be checked.

    `expected` is the top-1 that the user knows, in percent. Raises `ParityError` for a reference at
    chance, one far from what is expected, or one that another preprocessing or order of the labels
    clearly improves; with `force` that is a warning.
    """
    with log.stage(StageName.REFERENCE) as say:
        weights = reference.weights
        if expected is not None:
            refuse_expectation(unknown_top1(weights, reference.head, images))
        unknown = unknown_accuracy(weights, reference.head, images)
        if unknown is not None:
            say(f"accuracy not checked: {unknown}")
            return None
        by_label = weights.activation.decides_labels
        found: Checked = (
            _labels(reference, images, log)
            if by_label
            else _checked(reference, images, expected, log)
        )
        say(found.measured)
    if found.refused and not force:
        raise ReferenceRefusedError(found)
    if found.problem is not None:
        log.warn(f"{found.problem}. {found.remedy}")
    return found


def refuse_expectation(unknown: str | None) -> None:
    """Raise `UsageError` for an expected accuracy where there is none to compare it with."""
    if unknown is not None:
        raise UsageError(
            f"--expect-top1 cannot be held to: {unknown}",
            remedy="Give --validation a folder with one folder per class.",
        )


def unknown_accuracy(weights: Weights, head: str, images: Images) -> str | None:
    """Why there is no accuracy to check; None where there is one."""
    if head != CLASSIFIER:
        return "the outputs rank no classes"
    if not weights.trained:
        return "the network is untrained"
    if images.labels is None:
        return "the images have no labels"
    outputs = weights.architecture.classes
    if weights.activation.decides_labels:
        known = varied(truth_of(images.labels, outputs))
        return None if len(known) else "no label is on some of the images and not on others"
    return "one raw score decides nothing" if outputs == 1 else None


def unknown_top1(weights: Weights, head: str, images: Images) -> str | None:
    """Why there is no top-1 to compare with what is expected; None where there is one."""
    if head == CLASSIFIER and weights.activation.decides_labels:
        return "its labels are decided one by one"
    return unknown_accuracy(weights, head, images)


def unchecked(weights: Weights, head: str, images: Images) -> tuple[Assumption, ...]:
    """That the reference is right, as an assumption, where nothing checks it.

    An untrained network is not said to be right.
    """
    unknown = unknown_accuracy(weights, head, images)
    if unknown is None or not weights.trained:
        return ()
    what = f"right, because its accuracy is not checked: {unknown}"
    remedy = "--validation DIR, with a folder per class or image_labels.json"
    if head != CLASSIFIER:
        remedy = "a conversion with --head classifier and labelled --validation images"
    return (Assumption(Subject.REFERENCE, what, remedy),)


def _labels(reference: Reference, images: Images, log: StageLog) -> LabelReferenceCheck:
    probe, chosen = _probe(reference, images, log)
    outputs = reference.weights.architecture.classes
    if chosen.labels is None or images.labels is None:
        raise TypeError("the images have no labels")
    truth = truth_of(chosen.labels, outputs)
    if not len(varied(truth)):  # the few images of a label may not be among the chosen
        chosen, truth = images, truth_of(images.labels, outputs)
        probe = replace(probe, images=images)
    logits = probe.logits(reference.preprocessing, range(len(chosen)))
    decisions = reference.weights.activation.margins(logits) >= 0
    names = reference.weights.labels
    return label_check(images.name, names, truth, logits, decisions)


def _probe(reference: Reference, images: Images, log: StageLog) -> tuple[Probe, Images]:
    """Some of the images, evenly chosen, and what computes the reference's logits of them."""
    preprocessing = reference.preprocessing
    limit = IMAGES * _PIXELS // (preprocessing.height * preprocessing.width)
    chosen = spread(images, max(IMAGES, min(limit, MOST_IMAGES)))
    batches = count(1)
    total = -(-len(chosen) // BATCH_SIZE)
    return Probe(
        reference, chosen, lambda: log.progress.advance(min(next(batches), total), total)
    ), chosen


def _checked(
    reference: Reference, images: Images, expected: float | None, log: StageLog
) -> ReferenceCheck:
    preprocessing = reference.preprocessing
    probe, chosen = _probe(reference, images, log)
    labels = chosen.labels
    if labels is None:
        raise TypeError("the images have no labels")
    decisions = probe.decisions(preprocessing, range(len(chosen)))
    right = int((decisions == labels).sum())
    names = reference.weights.labels
    better = None
    # Without so many mistakes no other assumption could be clearly better.
    if 100 * (len(labels) - right) >= LEAST_POINTS * len(labels):
        whole = images.images if isinstance(images, Selection) else images
        named = names if isinstance(whole, ImageFolder) else ()
        better = search(probe, labels, named, preprocessing)
    return ReferenceCheck(
        source=images.name,
        images=len(labels),
        right=right,
        chance=chance_of(labels, decisions, reference.weights.architecture.classes),
        names=names,
        expected=expected,
        better=better,
    )
