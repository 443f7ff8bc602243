"""Predictions from the strings of Triton's classification extension.

The server returns `value:index[:label]` for every class, best first; over all classes

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


def predictions(classes: Iterable[bytes], top: int) -> tuple[Prediction, ...]:
    """The `top` best classes of one image, from the strings of all its classes.

    Raises `ServerError` for strings of another format, and for logits that are NaN or infinite.
    """
    rows = [text.split(b":", 2) for text in classes]
    try:
        logits = np.array([float(value) for value, *_ in rows])
        best = [
            (int(index), label[0].decode("utf-8", "replace") if label else index.decode())
            for _, index, *label in rows[:top]
        ]
    except ValueError as error:
        raise ServerError(f"the response is not value:index[:label] ({error})") from error
    if not np.isfinite(logits).all():
        raise ServerError(
            "the network's logits are not finite",
            remedy="Deploy it again with resnet-convert, which compares them with PyTorch's.",
        )
    powers = np.exp(logits - logits.max(initial=-np.inf))
    probabilities = powers / powers.sum()
    return tuple(
        Prediction(label, index, float(probabilities[rank]), float(logits[rank]))
        for rank, (index, label) in enumerate(best)
    )
