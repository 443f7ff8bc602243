"""Predictions from logits, or from the strings of Triton's classification extension.

The extension returns `value:index[:label]` for the largest outputs; the values are logits. The
activation in the model's contract says how they are read:

    softmax               probability = exp(logit) / Σ exp(logits)   the best classes
    sigmoid, many labels  probability = 1 / (1 + exp(−logit))        the labels at their threshold
    sigmoid, one output   the same, or 1 − that                      the positive or the negative
    none                  no probability                             the largest scores

Reference: triton-inference-server/server, docs/protocol/extension_classification.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_client.errors import NotFiniteError, ServerError
from resnet_serve.activation import Activation

DEFAULT_TOP = 5
_FEW = 8  # of which each is looked for by itself


@dataclass(frozen=True)
class Prediction:
    """One class or label of one image; without labels on the server, `label` is the index as text.

    `probability` is None where the outputs are raw scores. `above_threshold` is a sigmoid's
    decision on the label. Of one output, index 1 is the positive and 0 the negative.
    """

    label: str
    index: int
    probability: float | None
    logit: float
    above_threshold: bool | None = None


def needs_all(top: int | None, activation: Activation) -> bool:
    """Whether the predictions need every output, and not the largest `top` alone.

    The probabilities of a softmax have all outputs in their sum, and a sigmoid without `top` may
    find any number of labels.
    """
    return activation.decides_classes or (activation.decides_labels and top is None)


def labels_in(classes: Iterable[bytes]) -> tuple[str, ...]:
    """The labels of all classes in the order of the classes; raises `ServerError`."""
    named = sorted(_parsed(classes)[0])
    if [index for index, _ in named] != list(range(len(named))):
        raise ServerError("the response has not every class once")
    return tuple(label for _, label in named)


def _parsed(classes: Iterable[bytes]) -> tuple[list[tuple[int, str]], NDArray[np.float64]]:
    """The strings of the classification extension: index and label of each, and the logits.

    Raises `ServerError` for strings of another format.
    """
    rows = [text.split(b":", 2) for text in classes]
    try:
        logits = np.array([float(value) for value, *_ in rows])
        named = [
            (int(index), label[0].decode("utf-8", "replace") if label else index.decode())
            for _, index, *label in rows
        ]
    except ValueError as error:
        raise ServerError(f"the response is not value:index[:label] ({error})") from error
    return named, logits


def from_strings(
    classes: Iterable[bytes], outputs: int, top: int | None, activation: Activation
) -> tuple[Prediction, ...]:
    """The predictions of one image from the strings of the largest of its outputs; best first.

    `top` is how many. Where it is None: the best five, of a sigmoid every label from its threshold
    on, of one output the one that is decided for. A softmax of part of its outputs has no
    probabilities. Raises `ServerError` for strings of another format, and for logits that are NaN
    or infinite.
    """
    named, logits = _parsed(classes)
    return _predictions(named, logits, None, outputs == 1, top, activation)


def from_logits(
    logits: NDArray[Any], labels: Sequence[str], top: int | None, activation: Activation
) -> tuple[Prediction, ...]:
    """The predictions of one image from all its logits [classes] and labels; as `from_strings`."""
    logits = logits.astype(np.float64)
    if activation.decides_classes and (top or DEFAULT_TOP) <= _FEW and len(logits) > _FEW:
        return _few_classes(logits, labels, top or DEFAULT_TOP)
    order = _largest(logits, None if activation.decides_labels else top or DEFAULT_TOP)
    named = [(index, labels[index]) for index in order.tolist()]
    return _predictions(named, logits[order], logits, len(logits) == 1, top, activation)


def _largest(logits: NDArray[np.float64], count: int | None) -> NDArray[np.intp]:
    """The indices of the largest, best first; equal ones in their order. None stands for all."""
    if count is None or count >= len(logits):
        return np.argsort(-logits, kind="stable")
    least = np.partition(logits, -count)[-count]
    found = np.flatnonzero(logits >= least)
    return found[np.argsort(-logits[found], kind="stable")][:count]


def _few_classes(
    logits: NDArray[np.float64], labels: Sequence[str], count: int
) -> tuple[Prediction, ...]:
    """The best of a softmax over `logits`, which it changes, with as few operations as possible.

    That of one image costs more in their number than in what they compute.
    """
    _check_finite(np.add.reduce(logits))
    index = int(logits.argmax())  # the first of equal ones
    largest = logits.item(index)
    powers = logits - largest
    total = float(np.add.reduce(np.exp(powers, powers)))
    found = [Prediction(labels[index], index, 1 / total, largest)]
    while len(found) < count:
        logits[index] = -np.inf
        index = int(logits.argmax())
        logit = logits.item(index)
        found.append(Prediction(labels[index], index, math.exp(logit - largest) / total, logit))
    return tuple(found)


def _check_finite(total: float) -> None:
    """Refuse logits by their sum: FP32 values cannot overflow it, NaN and infinity stay in it."""
    if not math.isfinite(total):
        raise NotFiniteError(
            "the network's logits are not finite",
            remedy="Deploy it again with resnet-convert, which compares them with PyTorch's.",
        )


def _predictions(
    named: list[tuple[int, str]],
    logits: NDArray[np.float64],
    every: NDArray[np.float64] | None,
    alone: bool,
    top: int | None,
    activation: Activation,
) -> tuple[Prediction, ...]:
    _check_finite((logits if every is None else every).sum())
    if activation.decides_labels:
        return _labels(named, logits, alone, top, activation)
    shares = _shares(logits, every) if activation.decides_classes and every is not None else None
    return tuple(
        Prediction(label, index, None if shares is None else shares[rank], logit)
        for rank, ((index, label), logit) in enumerate(zip(named, logits.tolist(), strict=True))
    )[: top or DEFAULT_TOP]


def _shares(logits: NDArray[np.float64], every: NDArray[np.float64]) -> list[float]:
    """exp(logit) / Σ exp(every): the softmax of a few, the largest first."""
    largest = logits[0]
    shares: list[float] = (np.exp(logits - largest) / np.exp(every - largest).sum()).tolist()
    return shares


def _labels(
    named: list[tuple[int, str]],
    logits: NDArray[np.float64],
    alone: bool,
    top: int | None,
    activation: Activation,
) -> tuple[Prediction, ...]:
    shares = activation.probabilities(logits)
    if shares is None:
        raise TypeError("a sigmoid has probabilities")
    found = [
        Prediction(label, index, share, logit, share >= activation.threshold(index))
        for (index, label), share, logit in zip(
            named, shares.tolist(), logits.tolist(), strict=True
        )
    ]
    if not alone:
        return tuple(each for each in found if each.above_threshold or top is not None)[:top]
    (label, logit), p = (found[0].label, found[0].logit), found[0].probability or 0.0
    decided = bool(found[0].above_threshold)
    negative = activation.negative or f"not {label}"
    both = (
        Prediction(label, 1, p, logit, above_threshold=decided),
        Prediction(negative, 0, 1 - p, -logit, above_threshold=not decided),
    )
    return tuple(sorted(both, key=lambda each: not each.above_threshold))[: top or 1]
