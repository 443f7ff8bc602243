"""Arrivals: when requests come to one replica, as those of many independent clients do.

Poisson            gaps are exponential; a share of a Poisson process is one too
bursts             a Poisson process whose rate is `factor` times the mean during bursts, which take
                   a tenth of the time; they and what is between them last exponential times
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_serve.errors import UsageError

SHARE = 0.1  # of the time that is in bursts
_CYCLES = 10  # bursts that a replication has at least


@dataclass(frozen=True)
class Bursts:
    """`factor` times the mean rate for `seconds` on average, a tenth of the time."""

    factor: float
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Bursts:
        """The bursts of a text as `3:2s`; raises `UsageError` for another one."""
        found = re.fullmatch(r"([0-9]*\.?[0-9]+)x?:([0-9]*\.?[0-9]+) ?(ms|s)", text.strip())
        factor = float(found[1]) if found else 0.0
        seconds = float(found[2]) / (1000 if found[3] == "ms" else 1) if found else 0.0
        if not 1 < factor < 1 / SHARE or not 0 < seconds <= 600:
            raise UsageError(
                f"cannot read the bursts {text!r}",
                remedy="Write FACTOR:SECONDS as 3:2s: three times the mean rate (less than "
                f"{1 / SHARE:g} times) for two seconds on average, {SHARE:.0%} of the time.",
            )
        return cls(factor, seconds)

    def __str__(self) -> str:
        return f"bursts of {self.factor:g} times the rate for {self.seconds:g} s"


def seconds_of(requests: int, rate_per_s: float, bursts: Bursts | None) -> float:
    """How long a replication takes that has so many requests, and enough bursts."""
    seconds = requests / rate_per_s
    return seconds if bursts is None else max(seconds, _CYCLES * bursts.seconds / SHARE)


def moments(
    rate_per_s: float, seconds: float, random: np.random.Generator, bursts: Bursts | None = None
) -> NDArray[np.float64]:
    """The moments, in seconds, at which requests arrive within so many seconds; sorted."""
    if bursts is None:
        return _poisson(rate_per_s, seconds, random)
    calm = (1 - bursts.factor * SHARE) / (1 - SHARE)
    parts, start, in_burst = [], 0.0, bool(random.random() < SHARE)
    while start < seconds:
        mean_s = bursts.seconds * (1 if in_burst else (1 - SHARE) / SHARE)
        end = min(seconds, start + float(random.exponential(mean_s)))
        rate = rate_per_s * (bursts.factor if in_burst else calm)
        parts.append(start + _poisson(rate, end - start, random))
        start, in_burst = end, not in_burst
    return np.concatenate(parts)


def _poisson(rate_per_s: float, seconds: float, random: np.random.Generator) -> NDArray[np.float64]:
    count = random.poisson(rate_per_s * seconds)
    return np.sort(random.uniform(0.0, seconds, count))
