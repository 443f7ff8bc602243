"""Decided: what the template `decided.html.j2` shows of a classifier, by image and by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resnet_convert.parity.compare import Measurements
from resnet_convert.report import classes, label_rows, pictures
from resnet_serve.activation import Activation
from resnet_serve.datasets import Images

CHANGED_SHOWN = 20


def decided(found: Measurements, images: Images, names: Sequence[str]) -> dict[str, object]:
    """The images and the classes of a trained classifier; without logits there are none."""
    logits = found.logits
    if logits is None or found.decisions is None:
        return {"worst_pictures": []}
    changed = found.decisions.changed[: pictures.CHANGED]
    return {
        "worst_pictures": list(pictures.pictures(images, logits, names, pictures.worst(logits))),
        "changed_pictures": list(pictures.pictures(images, logits, names, changed)),
        "per_class": classes.per_class(logits, names),
        "class_rows": classes.ROWS,
        "confusions": classes.confusions(logits, names),
        "matrices": classes.matrices(logits, names),
    }


def changed(
    found: Measurements, images: Images, names: Sequence[str], activation: Activation
) -> Iterator[tuple[int, str, str, str, str]]:
    """Index and name of an image, both decisions and, where it is known, its label."""
    decisions, logits = found.decisions, found.logits
    if decisions is None or logits is None:
        for index, *texts in label_rows.changed(found, activation, names, CHANGED_SHOWN):
            before, after, truth = texts
            yield index, _name(images, index), before, after, truth
        return
    for index in decisions.changed[:CHANGED_SHOWN]:
        numbers = [int(logits.reference[index].argmax()), int(logits.converted[index].argmax())]
        if logits.labels is not None:
            numbers += [int(logits.labels[index])]
        theirs, ours, *right = (f"{each}: {names[each]}" for each in numbers)
        yield index, _name(images, index), theirs, ours, right[0] if right else "not known"


def _name(images: Images, index: int) -> str:
    """The image's name without the folder that the whole page is about."""
    return images.name_of(index).removeprefix(f"{images.name}/")
