"""The contract of a head: the function that its logits are read with, and what follows from it.

    softmax   p = exp(z) / Σ exp(z)      one class per image, the largest
    sigmoid   p = 1 / (1 + exp(−z))      a decision per label: p ≥ its threshold
    none      the outputs as they are    no probabilities and no decisions

It is decided once, in a conversion. The weights, the passport and the served configuration carry
it; clients apply it. The served tensor `logits` is the network's own output in every case.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.errors import InputFileError

THRESHOLD = 0.5
# Where probabilities are all that is known, their logits stay within what FP32 can express.
_LEAST = float(np.finfo(np.float32).tiny)


class Kind(StrEnum):
    """The activations; the values of `--activation`."""

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"
    NONE = "none"


@dataclass(frozen=True)
class Activation:
    """An activation; a sigmoid has `thresholds`, one for all of its labels or one for each.

    `negative` names the outcome below the threshold of a network with one output. Raises
    `InputFileError` for values that cannot be used.
    """

    kind: Kind = Kind.SOFTMAX
    thresholds: tuple[float, ...] = ()
    negative: str | None = None

    def __post_init__(self) -> None:
        if self.decides_labels != bool(self.thresholds):
            raise InputFileError("a sigmoid has thresholds, and nothing else has")
        for value in self.thresholds:
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
                raise InputFileError(f"a threshold is a number between 0 and 1, not {value!r}")
        if self.negative is not None and not self.decides_labels:
            raise InputFileError("only a sigmoid has a name for what is below its threshold")

    @property
    def decides_classes(self) -> bool:
        """Whether it decides for one class per image."""
        return self.kind is Kind.SOFTMAX

    @property
    def decides_labels(self) -> bool:
        """Whether it decides for or against each label."""
        return self.kind is Kind.SIGMOID

    def threshold(self, index: int) -> float:
        """The threshold of a label of a sigmoid."""
        return self.thresholds[index if len(self.thresholds) > 1 else 0]

    def fits(self, outputs: int) -> bool:
        """Whether a network with so many outputs can have it."""
        if self.kind is Kind.SOFTMAX:
            return outputs > 1
        one_name = self.negative is None or outputs == 1
        return len(self.thresholds) in (0, 1, outputs) and one_name

    def probabilities(self, logits: NDArray[Any]) -> NDArray[np.float64] | None:
        """The probabilities of logits [N,outputs]; None where there are none."""
        values = np.asarray(logits, np.float64)
        if self.kind is Kind.SOFTMAX:
            powers = np.exp(values - values.max(axis=-1, keepdims=True, initial=-np.inf))
            shares: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
            return shares
        return sigmoid(values) if self.kind is Kind.SIGMOID else None

    def averaged(self, logits: NDArray[Any]) -> NDArray[np.float32]:
        """The mean of probabilities, or of raw scores, over logits [K,outputs] of one image.

        They are those of several networks, or of several views; returns FP32 [outputs].
        """
        shares = self.probabilities(logits)
        return np.asarray((logits if shares is None else shares).mean(axis=0), np.float32)

    def choices(self, logits: NDArray[Any]) -> NDArray[np.int64] | NDArray[np.bool_] | None:
        """What is decided from logits [N,outputs]: classes [N,1], a yes or no per label [N,labels],
        or None.
        """
        if self.kind is Kind.SOFTMAX:
            return np.asarray(np.argmax(logits, axis=1)[:, None])
        return np.asarray(self.margins(logits) >= 0) if self.decides_labels else None

    def agreement(self, reference: NDArray[Any], converted: NDArray[Any]) -> float | None:
        """The share of equal decisions of two networks; None where nothing is decided."""
        theirs, ours = self.choices(reference), self.choices(converted)
        return None if theirs is None or ours is None else float((theirs == ours).mean())

    def flips(self, reference: NDArray[Any], converted: NDArray[Any]) -> int:
        """How many images have another decision; 0 where nothing is decided."""
        theirs, ours = self.choices(reference), self.choices(converted)
        return 0 if theirs is None or ours is None else int((theirs != ours).any(axis=1).sum())

    def margins(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """How far the logits [N,labels] of a sigmoid are above their thresholds, in logits."""
        found: NDArray[np.float64] = np.asarray(logits, np.float64) - to_logits(self.thresholds)
        return found

    def to_text(self) -> str:
        """As a parameter of a served model: JSON, without what is empty."""
        return json.dumps({key: value for key, value in asdict(self).items() if value})

    @classmethod
    def from_text(cls, text: str) -> Activation:
        """The inverse of `to_text`; raises `InputFileError`."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputFileError(f"is not JSON ({error})") from error
        known = {"kind", "thresholds", "negative"}
        if not isinstance(data, Mapping) or not data.keys() <= known or "kind" not in data:
            raise InputFileError(f"is not an activation: {text:.80}")
        thresholds, negative = data.get("thresholds", []), data.get("negative")
        if not isinstance(thresholds, list) or not isinstance(negative, str | None):
            raise InputFileError(f"is not an activation: {text:.80}")
        if data["kind"] not in list(Kind):
            raise InputFileError(f"is the activation {data['kind']!r}, not {', '.join(Kind)}")
        return cls(Kind(data["kind"]), tuple(thresholds), negative)

    def __str__(self) -> str:
        if not self.thresholds:
            return str(self.kind)
        least, most = min(self.thresholds), max(self.thresholds)
        plural = "" if len(self.thresholds) == 1 else "s"
        span = f"{least:g}" if least == most else f"{least:g} to {most:g}"
        return f"{self.kind}, threshold{plural} {span}"


SOFTMAX = Activation()


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    """1 / (1 + exp(−z)), without overflow."""
    values = np.asarray(logits, np.float64)
    power = np.exp(-np.abs(values))
    found: NDArray[np.float64] = np.where(values >= 0, 1.0, power) / (1.0 + power)
    return found


def to_logits(probabilities: Any) -> NDArray[np.float64]:
    """log(p / (1 − p)); finite for 0 and 1 too."""
    p = np.asarray(probabilities, np.float64)
    found: NDArray[np.float64] = np.log(np.maximum(p, _LEAST)) - np.log(np.maximum(1 - p, _LEAST))
    return found
