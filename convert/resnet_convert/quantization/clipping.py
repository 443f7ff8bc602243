"""Clipping: the range of a tensor, given its histogram. One function per method.

minmax      [min, max]: nothing is clipped.
percentile  p % of the values that are not zero are within the range. For u8, a tensor of both signs
            loses (100 − p)/2 % at either end, as in ONNX Runtime, and one of one sign (100 − p) %
            at its far end. Zeros do not count (they do in ONNX Runtime): behind a ReLU there are so
            many that p would have little effect.
mse         the range with the least Σ (x − dequantize(quantize(x)))², of rounding and of clipping,
            over ends down to 1/256 of the largest value: in steps of 2^(1/4), then 2^(1/16).
entropy     the amplitude T with the least KL(P ‖ Q) = Σ P·ln(P/Q). P is the distribution of the
            amplitudes up to T, with all beyond counted at T; Q is the same without those beyond,
            spread evenly over the filled bins of each of 128 levels (256 for u8 of one sign).
            Migacz, "8-bit Inference with TensorRT", GTC 2017; levels over bins in proportion, and
            zeros left out, as in NVIDIA's pytorch-quantization; an empty bin counts as 10⁻⁴ of a
            value, as in ONNX Runtime.

Every range contains zero and is within [min, max] extended to zero. With `symmetric` it is for s8,
−127…127 around zero; otherwise for u8, 256 steps with a zero point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from resnet_convert.quantization.histogram import BINS, Histogram
from resnet_serve.errors import UsageError

Limits = tuple[float, float]
_COARSE = 2.0 ** (-np.arange(33) / 4)
_FINE = 2.0 ** (-np.arange(-3, 4) / 16)
_ROUNDS = 2  # of refining one end of a range while the other stays
_EMPTY = 1e-4


def limits(method: str, seen: Histogram, *, symmetric: bool) -> Limits:
    """The range (low, high) of a tensor by a method of `METHODS`; (0, 0) for zeros alone.

    Raises `UsageError` for an unknown method.
    """
    if method not in METHODS:
        raise UsageError(
            f"unknown calibration method {method!r}", remedy=f"Use {', '.join(METHODS)}."
        )
    whole = min(0.0, seen.low), max(0.0, seen.high)
    if not seen.counts.any():
        return whole
    low, high = METHODS[method](seen, symmetric)
    return max(low, whole[0]) + 0.0, min(high, whole[1])  # + 0.0: no negative zero


def minmax(seen: Histogram, symmetric: bool) -> Limits:
    """The whole range; a symmetric grid is made from its larger side."""
    del symmetric
    return min(0.0, seen.low), max(0.0, seen.high)


def percentile(seen: Histogram, symmetric: bool, *, kept: float) -> Limits:
    """The range that `kept` percent of the values are in, up to the next edge of a bin."""
    share = 1 - kept / 100
    positive, negative = seen.counts
    total = int(positive.sum() + negative.sum())
    if symmetric:
        return _around_zero(_cut(positive + negative, share * total, seen.width))
    if positive.any() and negative.any():
        share /= 2
    high = _cut(positive, share * total, seen.width)
    return -_cut(negative, share * total, seen.width), high


def mse(seen: Histogram, symmetric: bool) -> Limits:
    """The least squared error; each end in turn where both are free."""
    edges = np.arange(-BINS, BINS + 1) * seen.width
    density = np.concatenate([seen.counts[1][::-1], seen.counts[0]]) / seen.width
    used = np.flatnonzero(density)
    density = density[used[0] : used[-1] + 1]
    edges = edges[used[0] : used[-1] + 2]

    def error(low: float, high: float) -> float:
        scale, lowest, highest = _grid(low, high, symmetric=symmetric)
        return float(density @ np.diff(_squared_error(edges, scale, lowest, highest)))

    if symmetric:
        largest = max(-seen.low, seen.high)
        return _around_zero(_least(lambda end: error(-end, end), largest))
    low, high = min(0.0, seen.low), max(0.0, seen.high)
    whole_low, whole_high = low, high
    for _ in range(_ROUNDS if low < 0 < high else 1):
        if high > 0:
            high = _least(partial(error, low), whole_high)
        if low < 0:
            low = _least(partial(error, high=high), whole_low)
    return low, high


def entropy(seen: Histogram, symmetric: bool) -> Limits:
    """The range with the least divergence of the clipped distribution from the whole one."""
    amplitudes = seen.counts.sum(axis=0)
    one_signed = seen.low >= 0 or seen.high <= 0
    levels = 256 if one_signed and not symmetric else 128
    used = int(np.flatnonzero(amplitudes)[-1]) + 1
    ends = [*range(levels, used, levels // 8), max(used, levels)]
    # Of equal ones the widest, as in pytorch-quantization: nothing is clipped without a gain.
    best = min(reversed(ends), key=lambda end: _divergence(amplitudes, end, levels))
    return _around_zero(best * seen.width)


METHODS: Mapping[str, Callable[[Histogram, bool], Limits]] = MappingProxyType(
    {
        "minmax": minmax,
        "entropy": entropy,
        "percentile-99.9": partial(percentile, kept=99.9),
        "percentile-99.99": partial(percentile, kept=99.99),
        "percentile-99.999": partial(percentile, kept=99.999),
        "mse": mse,
    }
)


def _least(error: Callable[[float], float], whole: float) -> float:
    """The end of a range, from `whole` to zero, with the least error; of equal ones the widest."""
    coarse = min(whole * _COARSE, key=error)
    near = coarse * _FINE
    return float(min(near[np.abs(near) <= abs(whole)], key=error))


def _around_zero(largest: float) -> Limits:
    return -float(largest), float(largest)


def _cut(counts: NDArray[np.int64], allowed: float, width: float) -> float:
    """The smallest edge with at most `allowed` values beyond it."""
    beyond = np.append(np.cumsum(counts[::-1])[::-1], 0)
    # A product such as 1e-5 · 1e6 may be a little below its exact value, a whole number.
    return float(np.argmax(beyond <= allowed * (1 + 1e-9)) * width)


def _grid(low: float, high: float, *, symmetric: bool) -> tuple[float, float, float]:
    """Step, first and last multiple of it, as the quantizers compute them."""
    if symmetric:
        return high / 127, -127.0, 127.0
    scale = (high - low) / 255
    zero = float(np.rint(-low / scale))
    return scale, -zero, 255 - zero


def _squared_error(
    edges: NDArray[np.float64], scale: float, lowest: float, highest: float
) -> NDArray[np.float64]:
    """∫ (x − q(x))² dx from 0 to each edge, up to a constant.

    With k the step that x is rounded to and f = x/scale − k, it is scale³·(k/12 + f³/3). Beyond the
    last step f may exceed a half: the same formula holds for values that are clipped.
    """
    steps = edges / scale
    nearest = np.clip(np.rint(steps), lowest, highest)
    beside = steps - nearest
    # Multiplied, as NumPy's power takes eighty times as long.
    return np.asarray(scale**3 * (nearest / 12 + beside * beside * beside / 3), np.float64)


def _divergence(amplitudes: NDArray[np.int64], end: int, levels: int) -> float:
    """KL(P ‖ Q) when the first `end` bins are kept."""
    kept = amplitudes[:end]
    reference = kept.astype(np.float64)
    reference[-1] += amplitudes[end:].sum()
    level = np.arange(end) * levels // end
    filled = reference > 0
    sums = np.bincount(level, weights=kept, minlength=levels)
    sizes = np.bincount(level, weights=filled, minlength=levels)
    spread = np.where(filled, (sums / np.maximum(sizes, 1))[level], 0.0)
    if not spread.any():
        return np.inf
    p, q = (np.where(each > 0, each, _EMPTY) for each in (reference, spread))
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum())
