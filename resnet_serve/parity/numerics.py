"""The distance between the outputs of two networks: max |Δ|, cosine, SQNR.

SQNR = 10·log10( Σ reference² / Σ (reference − converted)² )   in dB

A smallest cosine and a largest |Δ| get worse with every image; they name the worst image and are
not compared with a limit. What is, means the same for any number of images: the SQNR, a ratio of
sums, and the 5 % quantile of the images' cosines, with its bounds (`bounds.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from resnet_serve.parity.bounds import rank_above, rank_below, share_shown

TAIL = 0.05  # the share of images that may be further away than a limit
EXACT_DB = 200.0  # the SQNR of identical signals; float32 itself ends near 150


@dataclass(frozen=True)
class Numerics:
    """The distance over `images` rows; `cosine` is the smallest of any row, `worst` its index.

    `max_abs` is the largest |Δ|, `relative` the same divided by the reference's largest value.
    `cosine_low` and `cosine_high` bound the 5 % quantile of the cosines from below and from above,
    each with 95 % confidence; fewer than 59 images have no lower bound, and there it is the
    smallest. `scale` is Σ reference·converted / Σ reference², one where nothing grew or shrank.
    `mean_db` is the SQNR that the reference's mean would have in the place of its outputs: what a
    network reaches that ignores its input. It is None for a single image.
    With several outputs every number is from the output where it is worst; `output` names the one
    with the smallest SQNR, `steadiest` the one with the largest `mean_db`.
    """

    images: int
    max_abs: float
    relative: float
    cosine: float
    sqnr_db: float
    worst: int
    output: str = "logits"
    cosine_low: float | None = None
    cosine_high: float | None = None
    scale: float | None = None
    mean_db: float | None = None
    steadiest: str | None = None

    @property
    def shown_share(self) -> float:
        """The share of all images whose cosine is shown to be `cosine_low` or more: up to 95 %."""
        return min(1 - TAIL, share_shown(self.images))

    def to_json(self) -> dict[str, object]:
        """Its fields by name."""
        return asdict(self)


@dataclass
class Comparison:
    """The distance of one output, accumulated batch by batch, so that no batch has to be kept."""

    output: str = "logits"
    _max_abs: float = 0.0
    _largest: float = 0.0
    _signal: float = 0.0
    _noise: float = 0.0
    _product: float = 0.0
    _sum: NDArray[np.float64] | None = None
    _cosines: list[float] = field(default_factory=list)

    def add(self, reference: NDArray[np.float32], converted: NDArray[np.float32]) -> None:
        """Add the outputs [N,…] of the next images; raises `ValueError` for different shapes."""
        if reference.shape != converted.shape:
            raise ValueError(f"shapes differ: {reference.shape} and {converted.shape}")
        a = reference.reshape(len(reference), -1).astype(np.float64)
        b = converted.reshape(len(converted), -1).astype(np.float64)
        finite = (np.isfinite(a) & np.isfinite(b)).all(axis=1)
        with np.errstate(all="ignore"):
            delta = np.abs(a - b)
            norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
            safe = np.where(norms > 0, norms, 1.0)
            same = (delta.max(axis=1, initial=0.0) == 0).astype(np.float64)
            cosines = np.where(norms > 0, np.einsum("nc,nc->n", a, b) / safe, same)
            if a.shape[1] == 1:  # one number has no direction
                cosines = np.ones(len(a))
            self._max_abs = max(self._max_abs, float(delta.max(initial=0.0)))
            self._largest = max(self._largest, float(np.abs(a).max(initial=0.0)))
            self._signal += float(np.square(a).sum())
            self._noise += float(np.square(delta).sum())
            self._product += float((a * b).sum())
            total = a.sum(axis=0)
        self._sum = total if self._sum is None else self._sum + total
        self._cosines += np.where(finite, cosines, -np.inf).tolist()

    def result(self) -> Numerics:
        """The distance over all images so far; infinite for a NaN or infinity on either side."""
        images, worst = len(self._cosines), 0
        smallest = min(self._cosines, default=1.0)
        if images:
            worst = self._cosines.index(smallest)
        if smallest == -math.inf:
            return Numerics(
                images, math.inf, math.inf, -1.0, -math.inf, worst, self.output, -1.0, -1.0, 0.0
            )
        low, high = _quantile(self._cosines)
        return Numerics(
            images=images,
            max_abs=self._max_abs,
            relative=self._max_abs / self._largest if self._largest else self._max_abs,
            cosine=min(1.0, smallest),
            sqnr_db=decibels(self._signal, self._noise),
            worst=worst,
            output=self.output,
            cosine_low=low,
            cosine_high=high,
            scale=self._product / self._signal if self._signal else None,
            mean_db=self._mean_db(images),
            steadiest=self.output,
        )

    def _mean_db(self, images: int) -> float | None:
        if images < 2 or self._sum is None:
            return None
        rest = self._signal - float(np.square(self._sum).sum()) / images
        # Equal outputs leave what float64 rounds off their sums, near 150 dB.
        return decibels(self._signal, max(0.0, rest))


def compare(reference: NDArray[np.float32], converted: NDArray[np.float32]) -> Numerics:
    """The distance between two outputs [N,…]; infinite for a NaN or infinity on either side."""
    comparison = Comparison()
    comparison.add(reference, converted)
    return comparison.result()


def compare_all(
    reference: Mapping[str, NDArray[np.float32]], converted: Mapping[str, NDArray[np.float32]]
) -> Numerics:
    """The worst distance over all outputs [N,…] of the reference, which are matched by name."""
    found = []
    for name, each in reference.items():
        comparison = Comparison(name)
        comparison.add(each, converted[name])
        found.append(comparison.result())
    return worst(found)


def worst(found: Iterable[Numerics]) -> Numerics:
    """The worst of several outputs over the same images, for every number of its own."""
    each = list(found)
    furthest = min(each, key=lambda n: n.cosine)
    steadiest = max(each, key=lambda n: -math.inf if n.mean_db is None else n.mean_db)
    return Numerics(
        images=furthest.images,
        max_abs=max(n.max_abs for n in each),
        relative=max(n.relative for n in each),
        cosine=furthest.cosine,
        sqnr_db=min(n.sqnr_db for n in each),
        worst=furthest.worst,
        output=min(each, key=lambda n: n.sqnr_db).output,
        cosine_low=min(n.cosine if n.cosine_low is None else n.cosine_low for n in each),
        cosine_high=min(n.cosine if n.cosine_high is None else n.cosine_high for n in each),
        scale=max(
            (n.scale for n in each if n.scale is not None),
            key=lambda scale: abs(scale - 1),
            default=None,
        ),
        mean_db=steadiest.mean_db,
        steadiest=steadiest.steadiest,
    )


def _quantile(cosines: Sequence[float]) -> tuple[float, float]:
    """The bounds of the 5 % quantile; the smallest where there are too few for a lower one."""
    ranked, n = sorted(cosines), len(cosines)
    if not n:
        return 1.0, 1.0
    low, high = max(1, rank_below(n, TAIL)), min(n, rank_above(n, TAIL))
    return min(1.0, ranked[low - 1]), min(1.0, ranked[high - 1])


def decibels(signal: float, noise: float) -> float:
    """10·log10(signal/noise) of two energies, within ±200 dB; 200 dB without noise, −∞ for NaN."""
    if not (math.isfinite(signal) and math.isfinite(noise)):
        return -math.inf
    if noise <= 0:
        return EXACT_DB
    if signal <= 0:
        return -EXACT_DB
    return max(-EXACT_DB, min(EXACT_DB, 10 * (math.log10(signal) - math.log10(noise))))
