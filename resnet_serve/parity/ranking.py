"""F1 and average precision of one label.

F1 = 2·TP / (2·TP + FP + FN)
AP = Σ (Rₙ − Rₙ₋₁)·Pₙ over the thresholds in descending order, as scikit-learn has it, without
interpolation; images of equal scores share a threshold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def f1(truth: NDArray[np.bool_], decided: NDArray[np.bool_]) -> float | None:
    """The F1 of decisions [N]; None where neither the truth nor a decision is positive."""
    both, total = int((truth & decided).sum()), int(truth.sum() + decided.sum())
    return 2 * both / total if total else None


def average_precision(truth: NDArray[np.bool_], scores: NDArray[Any]) -> float | None:
    """The average precision of scores [N]; None without a positive image."""
    positives = int(truth.sum())
    if not positives:
        return None
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(truth[order])
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    precision, recall = found[last] / (last + 1), found[last] / positives
    return float((np.diff(recall, prepend=0.0) * precision).sum())
