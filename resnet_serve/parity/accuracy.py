"""Whether two networks decide equally: top-k agreement and, with labels, paired accuracy.

Both networks get the same images, so the difference is tested on the pairs: `gained` images only
the converted network classifies correctly, `lost` images only the reference. McNemar's exact test
is of gained ~ Binomial(gained + lost, ½) (McNemar 1947), and the interval of the difference is
Newcombe's for paired proportions (Newcombe 1998, method 10).

Without labels, a changed decision counts by what the reference itself gave for it, its probability
of the class it decided for less that of the class decided for now:

    lost by margin = mean over all images of (p[reference's class] − p[converted's class])

That is near zero where two classes were nearly equal, and near one for a clear decision. If the
reference's probabilities are right, it is the top-1 accuracy that the changes cost, so that it is
compared with the same budget.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_serve.parity.bounds import share_interval

_Z95 = 1.959963984540054
_Z95_ONE_SIDED = 1.6448536269514722


@dataclass(frozen=True)
class Decisions:
    """Agreement in [0, 1]; accuracies in percent, and their difference in percentage points.

    Accuracies are None without labels. `changed` are the images with another top-1 class.
    `margin_points` is what they lose by the reference's margins, in points, between
    `margin_interval`, of which each end holds with 95 % confidence. `reference_interval` is the
    exact 95 % interval (Clopper and Pearson) of the reference's accuracy.
    """

    images: int
    top1_agreement: float
    top5_agreement: float
    changed: tuple[int, ...]
    labelled: bool
    reference_top1: float | None = None
    converted_top1: float | None = None
    difference_points: float | None = None
    interval_points: tuple[float, float] | None = None
    gained: int = 0
    lost: int = 0
    mcnemar_p: float | None = None
    margin_points: float | None = None
    margin_interval: tuple[float, float] | None = None
    reference_interval: tuple[float, float] | None = None

    @property
    def lost_interval(self) -> tuple[float, float] | None:
        """The interval of the top-1 accuracy lost, in points; None without labels."""
        if self.interval_points is None:
            return None
        gained_least, gained_most = self.interval_points
        return 0.0 - gained_most, 0.0 - gained_least

    def __str__(self) -> str:
        return f"{100 * self.top1_agreement:.2f} % of {self.images} decisions agree"

    def to_json(self) -> dict[str, object]:
        """Its fields by name."""
        return asdict(self)


def decide(
    reference: NDArray[np.float32],
    converted: NDArray[np.float32],
    labels: NDArray[np.int64] | None = None,
    *,
    probabilities: bool = False,
) -> Decisions:
    """Compare decisions on logits [N,classes]; `labels` [N] adds accuracy.

    With `probabilities`, both are probabilities instead. Top-5 agreement: the reference's class is
    among the five best of the converted network. `changed` is sorted by the reference's margin, its
    most certain decision first.
    """
    ours, theirs = converted.argmax(axis=1), reference.argmax(axis=1)
    same = ours == theirs
    k = min(5, reference.shape[1])
    top = np.argpartition(-converted, k - 1, axis=1)[:, :k]
    ranked = np.sort(reference, axis=1)
    margin = ranked[:, -1] - ranked[:, -2] if reference.shape[1] > 1 else ranked[:, -1]
    changed = np.flatnonzero(~same)
    lost_by_margin = _margins(reference, ours, changed, probabilities=probabilities).sum()
    within = margin_interval(float(lost_by_margin), len(reference))
    agreement = Decisions(
        images=len(reference),
        top1_agreement=float(same.mean()),
        top5_agreement=float((top == theirs[:, None]).any(axis=1).mean()),
        changed=tuple(int(i) for i in changed[np.argsort(-margin[changed], kind="stable")]),
        labelled=False,
        margin_points=100 * float(lost_by_margin) / len(reference),
        margin_interval=(100 * within[0], 100 * within[1]),
    )
    if labels is None:
        return agreement
    right, reference_right = ours == labels, theirs == labels
    gained = int((right & ~reference_right).sum())
    lost = int((~right & reference_right).sum())
    both = int((right & reference_right).sum())
    low, high = newcombe_interval(both, gained, lost, len(labels))
    least, most = share_interval(both + lost, len(labels))
    return Decisions(
        **{
            **asdict(agreement),
            "labelled": True,
            "reference_top1": 100 * float(reference_right.mean()),
            "reference_interval": (100 * least, 100 * most),
            "converted_top1": 100 * float(right.mean()),
            "difference_points": 100 * (gained - lost) / len(labels),
            "interval_points": (100 * low, 100 * high),
            "gained": gained,
            "lost": lost,
            "mcnemar_p": mcnemar_exact(gained, lost),
        }
    )


def _margins(
    reference: NDArray[np.float32],
    ours: NDArray[np.int64],
    rows: NDArray[np.int64],
    *,
    probabilities: bool,
) -> NDArray[np.float64]:
    """The reference's probability of its own class less that of `ours`, for the given rows."""
    shown = reference[rows].astype(np.float64)
    if not probabilities:
        shown = np.exp(shown - shown.max(axis=1, keepdims=True, initial=-np.inf))
        shown /= shown.sum(axis=1, keepdims=True)
    margins: NDArray[np.float64] = (
        shown.max(axis=1, initial=0.0) - shown[np.arange(len(rows)), ours[rows]]
    )
    return np.where(np.isfinite(margins), margins, 1.0)


def margin_interval(total: float, n: int) -> tuple[float, float]:
    """Bounds of the mean of n numbers in [0, 1] with this sum, each with 95 % confidence.

    The score interval of a share with a sum that need not be whole: numbers in [0, 1] vary at most
    as much as yes and no with the same mean.
    """
    return _score_interval(total, n, _Z95_ONE_SIDED)


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided exact p-value that gains and losses are equally likely."""
    n = gained + lost
    ways = total = 1  # for 0; each binomial coefficient follows from the one before
    for i in range(min(gained, lost)):
        ways = ways * (n - i) // (i + 1)
        total += ways
    # Integers of any size divide to the nearest float, so that no term underflows.
    tail: float = total / 2**n
    return min(1.0, 2 * tail)


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927)."""
    return _score_interval(successes, n, _Z95)


def _score_interval(successes: float, n: int, z: float) -> tuple[float, float]:
    if n == 0:
        return 0.0, 1.0
    p, z2 = successes / n, z**2
    centre = p + z2 / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, (centre - spread) / (1 + z2 / n)), min(1.0, (centre + spread) / (1 + z2 / n))


def newcombe_interval(both: int, gained: int, lost: int, n: int) -> tuple[float, float]:
    """95 % interval of accuracy(converted) − accuracy(reference) over the same n images."""
    p1, p2 = (both + gained) / n, (both + lost) / n
    low1, high1 = wilson_interval(both + gained, n)
    low2, high2 = wilson_interval(both + lost, n)
    neither = n - both - gained - lost
    spread = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    cross = both * neither - gained * lost
    if spread == 0:
        phi = 0.0
    else:
        corrected = max(cross - n / 2, 0.0) if cross > 0 else float(cross)
        phi = corrected / math.sqrt(spread)
    below = (p1 - low1) ** 2 - 2 * phi * (p1 - low1) * (high2 - p2) + (high2 - p2) ** 2
    above = (high1 - p1) ** 2 - 2 * phi * (high1 - p1) * (p2 - low2) + (p2 - low2) ** 2
    return p1 - p2 - math.sqrt(max(0.0, below)), p1 - p2 + math.sqrt(max(0.0, above))
