"""Histogram: the distribution of a tensor's values, in a size that does not grow with the images.

    bin of x = ⌊|x| / 2^k⌋, one row for x > 0 and one for x < 0; zeros are counted apart

The width of a bin is a power of two, so that a wider range merges bins in pairs and moves no value:
the sum of two histograms is the histogram of all their values, in any order.
Zeros are counted apart because every grid holds them exactly: half of a tensor behind a ReLU is
zeros, and they are no reason to clip it anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 4096  # on either side of zero; at least half of them are in use, whatever the largest value
_SIDE = BINS.bit_length() - 1
_NONE = np.zeros((2, BINS), np.int64)  # the counts of nothing, shared
_NONE.flags.writeable = False
_PART = 2**17  # values at once, which stay in the cache of a core
_FINEST = -100  # the exponent of the narrowest bin; 2^100 still is an FP32 number


@dataclass(frozen=True)
class Histogram:
    """Counts [2, BINS] over bins of width 2^exponent: values above zero, and below.

    `low` and `high` are the exact extremes; not finite where a value was not, and then no value of
    that array is counted. A histogram of nothing has low = ∞ and high = −∞.
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: _NONE)
    exponent: int = _FINEST
    zeros: int = 0
    low: float = np.inf
    high: float = -np.inf

    @classmethod
    def of(cls, values: NDArray[Any], *, every: int = 1) -> Histogram:
        """The histogram of FP32 (or UINT8) values of any shape.

        One value in `every` is counted; the extremes are those of all.
        """
        if not values.size:
            return cls()
        flat = np.asarray(values, np.float32).ravel()
        low, high = float(flat.min()), float(flat.max())  # a NaN anywhere makes both NaN
        if not np.isfinite([low, high]).all():
            return cls(low=low, high=high)
        largest = max(-low, high)
        exponent = max(_FINEST, int(np.frexp(largest)[1]) - _SIDE) if largest else _FINEST
        factor = np.float32(2.0**-exponent)
        found = np.zeros(2 * BINS, np.int64)
        zeros = below = 0
        flat = flat[::every]
        for at in range(0, flat.size, _PART):
            part = flat[at : at + _PART]
            bins = (part * factor).astype(np.int16)  # towards zero: that of both signs is bin 0
            bins &= 2 * BINS - 1  # −1 becomes the last
            found += np.bincount(bins, minlength=2 * BINS)
            zeros += int(np.count_nonzero(part == 0))
            below += int(np.count_nonzero(part < 0)) if low < 0 else 0
        positive, negative = found[:BINS], np.append(0, found[:BINS:-1])
        negative[0] = below - negative.sum()
        positive[0] -= zeros + negative[0]
        return cls(np.stack([positive, negative]), exponent, zeros, low, high)

    @classmethod
    def of_extremes(cls, values: NDArray[Any]) -> Histogram:
        """The extremes of values of any shape, of which none is counted."""
        return cls(low=float(values.min()), high=float(values.max())) if values.size else cls()

    def __add__(self, other: Histogram) -> Histogram:
        """The histogram of the values of both."""
        low = float(np.minimum(self.low, other.low))  # numpy's keep a NaN, Python's may drop it
        high = float(np.maximum(self.high, other.high))
        if not other.counted:
            return replace(self, low=low, high=high)
        exponent = max(self.exponent, other.exponent)
        return Histogram(
            self._coarser(exponent) + other._coarser(exponent),
            exponent,
            self.zeros + other.zeros,
            low,
            high,
        )

    @property
    def counted(self) -> bool:
        """Whether any value is counted."""
        return self.zeros > 0 or (self.counts is not _NONE and bool(self.counts.any()))

    @property
    def finite(self) -> bool:
        """Whether there were values, and all of them finite."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    @property
    def width(self) -> float:
        """The width of a bin."""
        return 2.0**self.exponent

    @property
    def total(self) -> int:
        """How many values were counted, zeros included."""
        return int(self.counts.sum()) + self.zeros

    @property
    def typical(self) -> float:
        """The median magnitude of the values that are not zero, to a bin's width; 0 for none."""
        amplitudes = np.cumsum(self.counts.sum(axis=0))
        if not amplitudes[-1]:
            return 0.0
        return float((np.searchsorted(amplitudes, amplitudes[-1] / 2) + 0.5) * self.width)

    def _coarser(self, exponent: int) -> NDArray[np.int64]:
        """The counts over bins of 2^exponent, of which `self` has 2^(exponent − self.exponent)."""
        if exponent == self.exponent:
            return self.counts
        merged = min(BINS, 2 ** (exponent - self.exponent))
        coarse = np.zeros_like(self.counts)
        coarse[:, : BINS // merged] = self.counts.reshape(2, -1, merged).sum(axis=2)
        return coarse
