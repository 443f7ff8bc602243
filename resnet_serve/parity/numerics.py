"""How far two sets of logits are apart: max |Δ|, cosine, SQNR.

SQNR = 10·log10( Σ reference² / Σ (reference − converted)² )   in dB
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

EXACT_DB = 200.0  # what identical signals count as; float32 itself stops near 150


@dataclass(frozen=True)
class Numerics:
    """The distance over `images` rows; `cosine` is the smallest of any row, `worst` its index."""

    images: int
    max_abs: float
    relative: float
    cosine: float
    sqnr_db: float
    worst: int

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def compare(reference: NDArray[np.float32], converted: NDArray[np.float32]) -> Numerics:
    """Compare [N,…] with [N,…]; a NaN or infinity on either side is an infinite distance."""
    if reference.shape != converted.shape:
        raise ValueError(f"shapes differ: {reference.shape} and {converted.shape}")
    a = reference.reshape(len(reference), -1).astype(np.float64)
    b = converted.reshape(len(converted), -1).astype(np.float64)
    finite = (np.isfinite(a) & np.isfinite(b)).all(axis=1)
    if not finite.all():
        worst = int(np.argmin(finite))
        return Numerics(len(a), math.inf, math.inf, -1.0, -math.inf, worst)
    delta = np.abs(a - b)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    safe = np.where(norms > 0, norms, 1.0)
    same = (delta.max(axis=1) == 0).astype(np.float64)
    cosines = np.where(norms > 0, np.einsum("nc,nc->n", a, b) / safe, same)
    largest = float(np.abs(a).max(initial=0.0))
    max_abs = float(delta.max(initial=0.0))
    return Numerics(
        images=len(a),
        max_abs=max_abs,
        relative=max_abs / largest if largest else max_abs,
        cosine=float(min(1.0, cosines.min(initial=1.0))),
        sqnr_db=decibels(float(np.square(a).sum()), float(np.square(delta).sum())),
        worst=int(np.argmin(cosines)) if len(a) else 0,
    )


def decibels(signal: float, noise: float) -> float:
    """10·log10(signal/noise) of two energies; no noise at all counts as 200 dB, NaN as −∞."""
    if not (math.isfinite(signal) and math.isfinite(noise)):
        return -math.inf
    if noise <= 0:
        return EXACT_DB
    if signal <= 0:
        return -EXACT_DB
    return max(-EXACT_DB, min(EXACT_DB, 10 * (math.log10(signal) - math.log10(noise))))
