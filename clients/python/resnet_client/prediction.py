"""Predictions from the strings of Triton's classification extension.

The server returns `value:index[:label]` for every output, largest first; the values are logits. The
activation in the model's contract says how they are read:

    softmax               probability = exp(logit) / Σ exp(logits)   the best classes
    sigmoid, many labels  probability = 1 / (1 + exp(−logit))        the labels at their threshold
    sigmoid, one output   the same, or 1 − that                      the positive or the negative
    none                  no probability                             the largest scores

Reference: triton-inference-server/server, docs/protocol/extension_classification.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_client.errors import ServerError
from resnet_serve.activation import SOFTMAX, Activation

DEFAULT_TOP = 5


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


def predictions(
    classes: Iterable[bytes], top: int | None, activation: Activation = SOFTMAX
) -> tuple[Prediction, ...]:
    """The predictions for one image, from the strings of all its outputs; best first.

    `top` is how many. Where it is None: the best five, of a sigmoid every label from its threshold
    on, of one output the one that is decided for. Raises `ServerError` for strings of another
    format, and for logits that are NaN or infinite.
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
    if not np.isfinite(logits).all():
        raise ServerError(
            "the network's logits are not finite",
            remedy="Deploy it again with resnet-convert, which compares them with PyTorch's.",
        )
    if activation.decides_labels:
        return _labels(named, logits, top, activation)
    shares = activation.probabilities(logits)
    return tuple(
        Prediction(label, index, None if shares is None else float(shares[rank]), logit)
        for rank, ((index, label), logit) in enumerate(zip(named, logits.tolist(), strict=True))
    )[: top or DEFAULT_TOP]


def _labels(
    named: list[tuple[int, str]],
    logits: NDArray[np.float64],
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
    if len(found) > 1:
        return tuple(each for each in found if each.above_threshold or top is not None)[:top]
    (label, logit), p = (found[0].label, found[0].logit), found[0].probability or 0.0
    decided = bool(found[0].above_threshold)
    negative = activation.negative or f"not {label}"
    both = (
        Prediction(label, 1, p, logit, above_threshold=decided),
        Prediction(negative, 0, 1 - p, -logit, above_threshold=not decided),
    )
    return tuple(sorted(both, key=lambda each: not each.above_threshold))[: top or 1]
