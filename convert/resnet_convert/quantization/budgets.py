"""Budgets: what quantizing may cost, and the evaluation that is held against it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_serve.activation import SOFTMAX, Activation
from resnet_serve.errors import UsageError
from resnet_serve.parity import accuracy, numerics
from resnet_serve.parity import labels as label_decisions

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Evaluation:
    """A converted network against its reference.

    `agreement` in [0, 1], `sqnr_db` of the logits, `top1_points_lost` where labels are known;
    `latency_ratio` is to the network that keeps no layer.
    """

    agreement: float
    sqnr_db: float
    top1_points_lost: float | None = None
    latency_ratio: float | None = None

    @classmethod
    def of(
        cls,
        reference: NDArray[np.float32],
        converted: NDArray[np.float32],
        labels: NDArray[np.int64] | None = None,
        *,
        latency_ratio: float | None = None,
        activation: Activation = SOFTMAX,
    ) -> Evaluation:
        """From the logits [N,classes] of both; `labels` [N] or [N,classes] add the accuracy.

        Of a sigmoid, that is the share of images with every label right.
        """
        if activation.decides_labels:
            found = label_decisions.decide(activation, reference, converted, labels)
            agreement = found.agreement
            difference = None if found.accuracy is None else found.accuracy.difference_points
        else:
            decisions = accuracy.decide(reference, converted, labels)
            agreement, difference = decisions.top1_agreement, decisions.difference_points
        return cls(
            agreement=agreement,
            sqnr_db=numerics.compare(reference, converted).sqnr_db,
            top1_points_lost=None if difference is None else 0.0 - difference,
            latency_ratio=latency_ratio,
        )


@dataclass(frozen=True)
class Budgets:
    """The most points of top-1 that may be lost, the least agreement in [0, 1]; None: no limit."""

    top1_points: float | None = None
    agreement: float | None = None

    def hold(self, found: Evaluation) -> bool:
        """Whether both budgets hold; raises `UsageError` for a top-1 budget without labels."""
        if self.top1_points is not None:
            if found.top1_points_lost is None:
                raise UsageError(
                    "a budget of top-1 needs images with labels",
                    remedy="Give a validation folder with one folder per class, "
                    "or a budget of agreement.",
                )
            if found.top1_points_lost > self.top1_points + _ROUNDING:
                return False
        return self.agreement is None or found.agreement >= self.agreement - _ROUNDING

    def __str__(self) -> str:
        given = []
        if self.top1_points is not None:
            given.append(f"top-1 lost ≤ {self.top1_points:g} points")
        if self.agreement is not None:
            given.append(f"agreement ≥ {100 * self.agreement:g} %")
        return ", ".join(given) or "no budget"
