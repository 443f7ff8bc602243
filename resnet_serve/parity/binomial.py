"""The exact interval of a proportion: the shares that a binomial test at 5 % does not reject.

From tails of the binomial distribution (Clopper and Pearson 1934), computed with logarithms of the
gamma function and bisection.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_STEPS = 60  # of bisection, to the precision of a float


def exact_interval(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a proportion in [0, 1]; all of it where there is nothing to count."""
    if n == 0:
        return 0.0, 1.0
    low = 0.0 if successes == 0 else _where(lambda p: at_least(successes, n, p) >= 0.025)
    high = 1.0 if successes == n else _where(lambda p: 1 - at_least(successes + 1, n, p) < 0.025)
    return low, high


def at_least(successes: int, n: int, p: float) -> float:
    """The probability of so many successes or more in n trials of probability p."""
    if successes <= 0:
        return 1.0
    if successes > n or p <= 0:
        return 0.0
    if p >= 1:
        return 1.0
    log_p, log_q, log_n = math.log(p), math.log1p(-p), math.lgamma(n + 1)
    terms = (
        math.exp(log_n - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * log_p + (n - k) * log_q)
        for k in range(successes, n + 1)
    )
    return min(1.0, math.fsum(terms))


def _where(holds: Callable[[float], bool]) -> float:
    """The smallest p in [0, 1] for which `holds`, which once true stays true."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
