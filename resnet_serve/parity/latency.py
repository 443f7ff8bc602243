"""Latency of models on one host: interleaved rounds, medians, a bootstrapped ratio.

The models run in turn within every round, so that a slower machine slows all of them. The ratio is
computed per round, and its interval from 2,000 resamples of the rounds. Before each timed run the
model runs untimed for a few milliseconds: the threads of the previous model spin for a while after
their work, and would use the cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

WARM_UP_RUNS = 3
SETTLE_S = 0.005
RESAMPLES = 2000


@dataclass(frozen=True)
class Latency:
    """Times of one model over the rounds, in milliseconds per batch."""

    batch_size: int
    samples_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """Median over the rounds, in milliseconds per batch."""
        return float(np.median(self.samples_ms))

    @property
    def p95_ms(self) -> float:
        """95th percentile over the rounds, in milliseconds per batch."""
        return float(np.percentile(self.samples_ms, 95))

    @property
    def images_per_s(self) -> float:
        """Images per second at the median."""
        return 1000 * self.batch_size / self.median_ms

    def to_json(self) -> dict[str, object]:
        """Its statistics, for a passport."""
        return {
            "batch_size": self.batch_size,
            "median_ms": self.median_ms,
            "p95_ms": self.p95_ms,
            "images_per_s": self.images_per_s,
            "rounds": len(self.samples_ms),
        }


@dataclass(frozen=True)
class Ratio:
    """How many times faster a model is than the reference: median and 95 % interval."""

    median: float
    low: float
    high: float

    @property
    def slower(self) -> bool:
        """Whether it is slower with certainty: the whole interval is below one."""
        return self.high < 1

    def to_json(self) -> dict[str, object]:
        """Median and interval by name."""
        return asdict(self)


def measure(
    models: Mapping[str, Callable[[], object]],
    *,
    batch_size: int,
    seconds: float,
    min_rounds: int = 7,
    max_rounds: int = 200,
    timers: Mapping[str, Callable[[], float]] = MappingProxyType({}),
) -> dict[str, Latency]:
    """Time the models in turn for about `seconds`, at least `min_rounds` rounds each.

    A model with an entry in `timers` measures itself: the call runs it once and returns
    milliseconds, on a GPU between two events of its stream, without the host's overhead.
    """
    for run in models.values():
        for _ in range(WARM_UP_RUNS):
            run()
    samples: dict[str, list[float]] = {name: [] for name in models}
    deadline = time.perf_counter() + seconds
    for done in range(max_rounds):
        if done >= min_rounds and time.perf_counter() >= deadline:
            break
        for name, run in models.items():
            settled = time.perf_counter() + SETTLE_S
            run()
            while time.perf_counter() < settled:
                run()
            samples[name].append(timers[name]() if name in timers else _timed(run))
    return {name: Latency(batch_size, tuple(times)) for name, times in samples.items()}


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - started)


def speedup(reference: Latency, model: Latency, *, seed: int = 0) -> Ratio:
    """How many times faster `model` is than `reference`, from rounds measured together."""
    ratios = np.asarray(reference.samples_ms) / np.asarray(model.samples_ms)
    low, high = _bootstrap(ratios, seed)
    return Ratio(median=float(np.median(ratios)), low=low, high=high)


def _bootstrap(values: NDArray[np.float64], seed: int) -> tuple[float, float]:
    generator = np.random.default_rng(seed)
    draws = generator.choice(values, size=(RESAMPLES, len(values)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return float(low), float(high)
