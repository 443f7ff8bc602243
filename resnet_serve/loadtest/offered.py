"""What a load test offers a server: so many requests in flight, or so many a second.

concurrency    a closed loop: a request ends, the next one starts
rate           an open loop: requests start at random moments (a Poisson process), whether or
               not earlier ones have ended, as those of many independent clients do
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from resnet_serve.errors import UsageError

MAX_CONCURRENCY = 1024
MAX_RATE_PER_S = 100_000.0


@dataclass(frozen=True)
class Offered:
    """One level of a load test: `concurrency` requests in flight, or `rate_per_s` requests."""

    concurrency: int | None = None
    rate_per_s: float | None = None

    def arguments(self) -> list[str]:
        """The options of perf_analyzer."""
        if self.rate_per_s is None:
            return ["--concurrency-range", str(self.concurrency)]
        # Without -a, four threads that wait for responses are all that sends requests.
        rate = ["--request-rate-range", f"{self.rate_per_s:g}"]
        return [*rate, "--request-distribution", "poisson", "-a"]

    def expected(self, seconds: float, request_s: float) -> float:
        """How many requests it makes in so many seconds, each of which takes `request_s` alone."""
        if self.rate_per_s is None:
            return seconds / request_s
        return seconds * self.rate_per_s

    def __str__(self) -> str:
        if self.rate_per_s is None:
            return f"concurrency {self.concurrency}"
        return f"{self.rate_per_s:g} requests/s"


def parse_concurrencies(text: str) -> tuple[int, ...]:
    """The concurrencies of `start:end[:step]`, both ends included, or of a list `1,2,4,8`.

    They are in increasing order, each once. Raises `UsageError` for another text.
    """
    try:
        numbers = [int(part) for part in re.split("[:,]", text)]
    except ValueError as error:
        raise _bad_concurrencies(text, "not numbers") from error
    if ":" in text and ("," in text or len(numbers) > 3):
        raise _bad_concurrencies(text, "neither a range nor a list")
    if min(numbers) < 1 or max(numbers) > MAX_CONCURRENCY:
        raise _bad_concurrencies(text, f"not between 1 and {MAX_CONCURRENCY}")
    if ":" not in text:
        return tuple(sorted(set(numbers)))
    start, end, step = (*numbers, 1)[:3]
    if end < start:
        raise _bad_concurrencies(text, "the range ends before it starts")
    return tuple(range(start, end + 1, step))


def parse_rates(text: str) -> tuple[float, ...]:
    """The rates of a list `20,40,80`, in requests per second, in increasing order, each once.

    Raises `UsageError` for another text.
    """
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise _bad_rates(text, "not numbers") from error
    if not all(0 < rate <= MAX_RATE_PER_S for rate in rates):
        raise _bad_rates(text, f"not above 0 and at most {MAX_RATE_PER_S:,.0f}")
    return tuple(sorted(set(rates)))


def _bad_concurrencies(text: str, reason: str) -> UsageError:
    return UsageError(
        f"cannot read the concurrencies {text!r}: {reason}",
        remedy="Write 1:8, 1:8:2 (start:end:step) or 1,2,4,8.",
    )


def _bad_rates(text: str, reason: str) -> UsageError:
    return UsageError(
        f"cannot read the rates {text!r}: {reason}",
        remedy="Write requests per second, as 40 or 20,40,80.",
    )
