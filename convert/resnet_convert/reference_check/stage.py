"""The stage: PyTorch's accuracy on some labelled images, before anything is converted."""

from __future__ import annotations

from itertools import count

from resnet_convert.head import CLASSIFIER
from resnet_convert.parity.parity_error import RefusedError
from resnet_convert.parity.reference import BATCH_SIZE, Reference
from resnet_convert.reference_check.findings import ReferenceCheck, chance_of
from resnet_convert.reference_check.probe import Probe
from resnet_convert.reference_check.search import LEAST_POINTS, search
from resnet_convert.stage_log import StageLog, StageName
from resnet_serve.datasets import ImageFolder, Images
from resnet_serve.datasets.selection import Selection, spread
from resnet_serve.errors import UsageError
from resnet_serve.weights import Weights

# At 224 × 224 pixels; of smaller images more, in the same time.
IMAGES, MOST_IMAGES = 200, 500
_PIXELS = 224 * 224


class ReferenceRefusedError(RefusedError):
    """The reference itself is not to be believed; `found` says why."""

    def __init__(self, found: ReferenceCheck) -> None:
        self.found = found
        super().__init__(
            f"{found.problem}; nothing was converted", where=found.source, remedy=found.remedy
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
) -> ReferenceCheck | None:
    """The accuracy of the reference on labelled images; None where it has none to be checked.

    `expected` is the top-1 that the user knows, in percent. Raises `ParityError` for a reference at
    chance, one far from what is expected, or one that another preprocessing or order of the labels
    clearly improves; with `force` that is a warning.
    """
    with log.stage(StageName.REFERENCE) as say:
        unknown = unknown_accuracy(reference.weights, reference.head, images)
        if unknown is not None:
            if expected is not None:
                refuse_expectation(unknown)
            say(f"accuracy not checked: {unknown}")
            return None
        found = _checked(reference, images, expected, log)
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
    if weights.activation.decides_labels:
        return "its labels are decided one by one"
    return None


def _checked(
    reference: Reference, images: Images, expected: float | None, log: StageLog
) -> ReferenceCheck:
    preprocessing = reference.preprocessing
    limit = IMAGES * _PIXELS // (preprocessing.height * preprocessing.width)
    chosen = spread(images, max(IMAGES, min(limit, MOST_IMAGES)))
    labels = chosen.labels
    if labels is None:
        raise TypeError("the images have no labels")
    batches = count(1)
    total = -(-len(chosen) // BATCH_SIZE)
    probe = Probe(reference, chosen, lambda: log.progress.advance(min(next(batches), total), total))
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
