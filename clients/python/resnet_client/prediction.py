"""From the strings of Triton's classification extension to predictions.

A classifier answers `value:index[:label]` for every class, best first; over all of them

    probability = exp(logit) / Σ exp(logits)

Reference: triton-inference-server/server, docs/protocol/extension_classification.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from resnet_client.errors import ServerError


@dataclass(frozen=True)
class Prediction:
    """One class of one image; without labels on the server, `label` is the index as text."""

    label: str
    index: int
    probability: float
    logit: float


def predictions(answer: Iterable[bytes], top: int) -> tuple[Prediction, ...]:
    """The `top` best of one image's answer, which must hold every class.

    Raises `ServerError` for an answer that is not the extension's, and for logits that are NaN or
    infinite.
    """
    classes = [text.split(b":", 2) for text in answer]
    try:
        logits = np.array([float(value) for value, *_ in classes])
        best = [
            (int(index), label[0].decode("utf-8", "replace") if label else index.decode())
            for _, index, *label in classes[:top]
        ]
    except ValueError as error:
        raise ServerError(f"the server's answer is not value:index[:label] ({error})") from error
    if not np.isfinite(logits).all():
        raise ServerError(
            "the network's outputs are not finite",
            remedy="`resnet-serve verify` shows whether the model still computes what it should.",
        )
    powers = np.exp(logits - logits.max(initial=-np.inf))
    probabilities = powers / powers.sum()
    return tuple(
        Prediction(label, index, float(probabilities[rank]), float(logits[rank]))
        for rank, (index, label) in enumerate(best)
    )
