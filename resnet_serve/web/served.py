"""Classify an image with one served model, or compare all versions that have the same labels.

The image is decoded once. The versions are asked one after the other, so that their times can be
compared; all of it is done within one deadline.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from resnet_client import Classifier, Prediction
from resnet_client.contract import Contract
from resnet_client.transport.deadlines import Deadline
from resnet_serve.errors import ModelError, ResnetServeError, UnavailableError, UsageError
from resnet_serve.preprocessing import decode
from resnet_serve.web.catalog import Catalog, Served, unknown
from resnet_serve.web.messages import Classified, Column, Compared
from resnet_serve.web.uploads import Asked, Upload

SHOWN = 5
Decision = frozenset[int]


@dataclass(frozen=True)
class _Timed:
    """The predictions for an image, and how long they took."""

    predictions: tuple[Prediction, ...]
    ms: float


def classify(catalog: Catalog, upload: Upload, timeout_s: float) -> Classified:
    """The predictions of the model that is asked for, or of the only one.

    Raises `ImageError` for the image, `ModelError` for the model, and what a request raises.
    """
    deadline = Deadline.after(timeout_s)
    picture = decode(upload.image)
    asked = upload.asked
    model = asked.model or _only(catalog.versions())
    if asked.version:
        found = _version(catalog.versions(), model, asked.version)
        timed = _ask(found.classifier, picture, asked.top, deadline)
        number = found.version
    else:
        classifier = catalog.latest(model)
        timed = _ask(classifier, picture, asked.top, deadline)
        number = classifier.contract().version
    return Classified(model=model, version=number, predictions=timed.predictions, ms=timed.ms)


def compare(catalog: Catalog, upload: Upload, timeout_s: float) -> Compared:
    """The image by every version with the labels of the model that is asked for, or of the first.

    A version that fails has its error in its column. Raises `ImageError`, and `UnavailableError`
    where every version fails with it.
    """
    deadline = Deadline.after(timeout_s)
    picture = decode(upload.image)
    group = alike(catalog.versions(), upload.asked)
    columns, decisions, failures = list[Column](), list[Decision | None](), list[Exception]()
    for each in group:
        column = Column(model=each.model, version=each.version)
        try:
            top = each.contract.classes if each.contract.activation.decides_labels else SHOWN
            timed = _ask(each.classifier, picture, max(2, top), deadline)
        except ResnetServeError as error:
            if isinstance(error, ModelError):
                catalog.expire()
            failures.append(error)
            decisions.append(None)
            columns.append(replace(column, error=str(error)))
            continue
        decisions.append(_decision(timed.predictions, each.contract))
        shown = _shown(timed.predictions, upload.asked.top or SHOWN)
        columns.append(replace(column, predictions=shown, ms=timed.ms))
    if len(failures) == len(columns) and isinstance(failures[0], UnavailableError):
        raise failures[0]
    first, *others = decisions
    agrees = [None if first is None or each is None else each == first for each in others]
    known = [each for each in agrees if each is not None]
    columns[1:] = [replace(each, agrees=a) for each, a in zip(columns[1:], agrees, strict=True)]
    return Compared(columns=tuple(columns), agree=all(known) if known else None)


def alike(versions: Sequence[Served], asked: Asked) -> list[Served]:
    """The versions that have the labels of the model asked for, without a model of the first one.

    Raises `ModelError` where there is none.
    """
    if asked.version and asked.model is None:
        raise UsageError("a version is of a model", remedy="Give the model too.")
    of = [each for each in versions if asked.model in (None, each.model)]
    if asked.version:
        of = [_version(versions, asked.model or "", asked.version)]
    if not of:
        raise unknown(asked.model or "", {each.model: each for each in versions})
    return [each for each in versions if each.labels_id == of[0].labels_id]


def _only(versions: Sequence[Served]) -> str:
    names = sorted({each.model for each in versions})
    if not names:
        raise ModelError(
            "the server serves no classifier that resnet-convert deployed",
            remedy="Deploy one with resnet-convert.",
        )
    if len(names) > 1:
        raise UsageError(
            f"the server serves {', '.join(names)}", remedy=f"Name one: ?model={names[0]}."
        )
    return names[0]


def _version(versions: Sequence[Served], model: str, number: str) -> Served:
    of_model = [each for each in versions if each.model == model]
    if not of_model:
        raise unknown(model, {each.model: each for each in versions})
    for each in of_model:
        if each.version == number:
            return each
    raise ModelError(
        f"model {model!r} has no version {number:.20} that is served",
        remedy=f"Served: {', '.join(each.version for each in of_model)}.",
    )


def _ask(
    classifier: Classifier, picture: Image.Image, top: int | None, deadline: Deadline
) -> _Timed:
    began_s = time.perf_counter()
    found = classifier.classify_by(picture, top, deadline)
    return _Timed(tuple(found), round(1000 * (time.perf_counter() - began_s), 3))


def _decision(predictions: Sequence[Prediction], contract: Contract) -> Decision | None:
    """The class, or the labels, that the outputs decide for; None where nothing is decided."""
    if not predictions:
        return None
    if contract.activation.decides_labels and contract.classes > 1:
        return frozenset(each.index for each in predictions if each.above_threshold)
    return frozenset({predictions[0].index})


def _shown(predictions: tuple[Prediction, ...], count: int) -> tuple[Prediction, ...]:
    """The best ones, and every label that is decided for."""
    decided = sum(1 for each in predictions if each.above_threshold)
    return predictions[: max(count, decided)]
