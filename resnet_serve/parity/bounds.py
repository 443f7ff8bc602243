"""Confidence bounds that assume no distribution: of a share, and of a quantile of images.

    share      Clopper and Pearson 1934: the shares under which the count is not improbable
    quantile   order statistics: of n images, X ~ Binomial(n, q) lie below the true q-quantile, so
               that the k-th smallest value is below it with probability P(X ≥ k)

A minimum over images falls when there are more of them; a quantile does not, and its bound is wide
where there are few.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from functools import cache

CONFIDENCE = 0.95
_STEPS = 60  # of bisection, past the digits of a double


def at_most(count: int, n: int, share: float) -> float:
    """P(X ≤ count) of X ~ Binomial(n, share)."""
    if count < 0:
        return 0.0
    if count >= n or share <= 0:
        return 1.0
    if share >= 1:
        return 0.0
    if count > n * share:  # the shorter and smaller side
        return 1.0 - at_most(n - count - 1, n, 1 - share)
    log_share, log_rest = math.log(share), math.log1p(-share)
    log_term = (
        math.lgamma(n + 1)
        - math.lgamma(count + 1)
        - math.lgamma(n - count + 1)
        + count * log_share
        + (n - count) * log_rest
    )
    # From the largest term downwards: each is the one before times i / (n − i + 1) · q / p.
    term = total = 1.0
    for i in range(count, 0, -1):
        term *= i / (n - i + 1) * (1 - share) / share
        total += term
        if term < total * 1e-17:
            break
    return min(1.0, math.exp(log_term) * total)


def share_interval(count: int, n: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact two-sided interval of a share; (0, 1) of no images."""
    if n == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    return _smallest_share(count, n, tail), _largest_share(count, n, tail)


def largest_share(count: int, n: int, *, confidence: float = CONFIDENCE) -> float:
    """The one-sided upper bound of a share: larger ones give so low a count too rarely."""
    return 1.0 if n == 0 else _largest_share(count, n, 1 - confidence)


def smallest_share(count: int, n: int, *, confidence: float = CONFIDENCE) -> float:
    """The one-sided lower bound of a share."""
    return 0.0 if n == 0 else _smallest_share(count, n, 1 - confidence)


@cache
def rank_below(n: int, quantile: float, confidence: float = CONFIDENCE) -> int:
    """The k whose k-th smallest of n values is at or below the true quantile; 0 where none is.

    The largest such k. With the 5 % quantile and 95 % confidence, n = 59 is the first with one.
    """
    return bisect_left(
        range(1, n + 1), True, key=lambda k: at_most(k - 1, n, quantile) > 1 - confidence
    )


@cache
def rank_above(n: int, quantile: float, confidence: float = CONFIDENCE) -> int:
    """The smallest k whose k-th smallest of n values is at or above the true quantile; n + 1
    where none is.
    """
    return 1 + bisect_left(
        range(1, n + 1), True, key=lambda k: at_most(k - 1, n, quantile) >= confidence
    )


def share_shown(n: int, *, confidence: float = CONFIDENCE) -> float:
    """The share of all images of which n good ones and no bad one show it."""
    return (1 - confidence) ** (1 / n) if n else 0.0


def _largest_share(count: int, n: int, tail: float) -> float:
    if count >= n:
        return 1.0
    return _root(lambda share: at_most(count, n, share) <= tail)


def _smallest_share(count: int, n: int, tail: float) -> float:
    if count <= 0:
        return 0.0
    return _root(lambda share: 1 - at_most(count - 1, n, share) >= tail)


def _root(reached: Callable[[float], bool]) -> float:
    """The share from which on a condition holds."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return (low + high) / 2
