"""Latency of models on one host: interleaved rounds, medians, a bootstrapped ratio.

The models run in turn within every round, so that a slower machine slows all of them. The ratio is
computed per round, and its interval from 2,000 resamples of the rounds. Before each timed run the
model runs untimed for a few milliseconds: the threads of the previous model spin for a while after
their work, and would use the cores. For a model whose run takes far longer than that, waiting does
as well, as the caches that it finds cold make no difference. Every other round is in the opposite
order, so that its first model is the last one before it, which needs no such time.

A ratio is not stated where its interval is wide, or where other tasks pressed the CPUs meanwhile.
With `until_narrow` the rounds end early, once every ratio has a narrow interval.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from resnet_serve.parity import pressure

WARM_UP_RUNS, WARM_UP_S = 3, 0.25  # the third run only within that time
SETTLE_S, SLOW_S = 0.005, 0.1
RESAMPLES = 2000
NARROW = 1.05  # an interval whose ends differ by no more than this factor needs no more rounds
CHECKED_EVERY = 5  # rounds
WIDE = 1.5  # an interval whose ends differ by more than this factor states nothing
PRESSED = 0.25  # of the time; the model's own threads wait for one another now and then


@dataclass(frozen=True)
class Latency:
    """Times of one model over the rounds, in milliseconds per batch.

    `pressed` is the share of that time in which tasks waited for a CPU, where the host counts it.
    """

    batch_size: int
    samples_ms: tuple[float, ...]
    pressed: float | None = None

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
    """How many times faster a model is than the reference: median and 95 % interval.

    `pressed` is the share of the measurement in which tasks waited for a CPU.
    """

    median: float
    low: float
    high: float
    pressed: float | None = None

    @property
    def not_stated(self) -> str | None:
        """Why the median is no number to state; None where it is one."""
        if self.pressed is not None and self.pressed > PRESSED:
            waited = f"tasks waited for a CPU {100 * self.pressed:.0f} % of the time"
            return f"host busy ({waited})"
        if not self.high <= WIDE * self.low:
            return "host busy (the rounds differ too much)"
        return None

    @property
    def slower(self) -> bool:
        """Whether it is slower with certainty: the whole interval is below one."""
        return self.high < 1 and self.not_stated is None

    def caution(self, precision: str, model: str, busy: str | None = None) -> str | None:
        """A warning: it is slower, or its speed-up is not stated; None where neither is so.

        `busy` says why ratios that were measured before it are not stated: then it is not believed
        alone that it is slower.
        """
        again = f"on an idle host: {remeasuring(model)}"
        if self.slower and busy is not None:
            return (
                f"{precision} took longer than PyTorch ({self.median:.2f}×), and the speed-ups "
                f"measured before are not stated: {busy}; {again}"
            )
        if self.slower:
            return (
                f"{precision} is slower than PyTorch here ({self.median:.2f}×): "
                "keep another precision for this host"
            )
        if self.not_stated is not None:
            return f"the speed-up is {self}; {again}"
        return None

    def __str__(self) -> str:
        """ "2.3×", or why it is not stated."""
        reason = self.not_stated
        return f"{self.median:.1f}×" if reason is None else f"not stated: {reason}"

    def to_json(self) -> dict[str, object]:
        """Median and interval by name; without the median, and why, where it is not stated."""
        reason = self.not_stated
        if reason is None:
            return asdict(self)
        return {**asdict(self), "median": None, "not_stated": reason}


def remeasuring(model: str) -> str:
    """The command that measures a deployed model again."""
    return f"resnet-convert remeasure {model}"


def busy_before(pressed: float | None) -> str | None:
    """Why a measurement says little, from the pressure before it; None where the host was idle."""
    if pressed is None or pressed <= PRESSED:
        return None
    return f"host busy (tasks waited for a CPU {100 * pressed:.0f} % of the time before)"


def measure(
    models: Mapping[str, Callable[[], object]],
    *,
    batch_size: int,
    seconds: float,
    min_rounds: int = 7,
    max_rounds: int = 200,
    timers: Mapping[str, Callable[[], float]] = MappingProxyType({}),
    until_narrow: bool = False,
) -> dict[str, Latency]:
    """Time the models in turn for about `seconds`, at least `min_rounds` rounds each.

    With `until_narrow` it ends once a third of that time is over and every ratio of two models has
    a narrow interval, on a host that is not busy.
    A model with an entry in `timers` measures itself: the call runs it once and returns
    milliseconds, on a GPU between two events of its stream, without the host's overhead.
    """
    slow = {name for name, run in models.items() if _warm_up(run) > SLOW_S}
    samples: dict[str, list[float]] = {name: [] for name in models}
    order, last = list(models), ""
    started = time.perf_counter()
    before = pressure.read()
    for done in range(max_rounds):
        elapsed = time.perf_counter() - started
        if done >= min_rounds and elapsed >= seconds:
            break
        if until_narrow and _is_checked(done, min_rounds) and elapsed >= seconds / 3:
            waited = pressure.read().share_since(before)
            if narrow(samples) and (waited is None or waited <= PRESSED):
                break
        for name in order:
            run = models[name]
            if name != last and name in slow:
                time.sleep(SETTLE_S)
            elif name != last:
                _settle(run)
            samples[name].append(timers[name]() if name in timers else _timed(run))
            last = name
        order.reverse()
    waited = pressure.read().share_since(before)
    on_cpu = set(models) - set(timers)
    return {
        name: Latency(batch_size, tuple(times), waited if name in on_cpu else None)
        for name, times in samples.items()
    }


def narrow(samples: Mapping[str, Sequence[float]]) -> bool:
    """Whether every ratio of two models, per round, has an interval of no more than `NARROW`."""
    for one, other in combinations(samples.values(), 2):
        low, high = median_interval(np.asarray(one) / np.asarray(other))
        if high > NARROW * low:
            return False
    return True


def _is_checked(done: int, min_rounds: int) -> bool:
    """Whether the intervals are computed after so many rounds."""
    return done >= min_rounds and done % CHECKED_EVERY == 0


def _warm_up(run: Callable[[], object]) -> float:
    """Run a few times, twice where that takes long; the seconds of the last time."""
    started = began = time.perf_counter()
    for done in range(WARM_UP_RUNS):
        if done > 1 and time.perf_counter() - started > WARM_UP_S:
            break
        began = time.perf_counter()
        run()
    return time.perf_counter() - began


def _settle(run: Callable[[], object]) -> None:
    """Run once, and on for a few milliseconds."""
    settled = time.perf_counter() + SETTLE_S
    run()
    while time.perf_counter() < settled:
        run()


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - started)


def speedup(reference: Latency, model: Latency, *, seed: int = 0) -> Ratio:
    """How many times faster `model` is than `reference`, from rounds measured together."""
    ratios = np.asarray(reference.samples_ms) / np.asarray(model.samples_ms)
    waited = [each.pressed for each in (reference, model) if each.pressed is not None]
    return ratio_of(ratios, max(waited, default=None), seed=seed)


def ratio_of(
    ratios: Sequence[float] | NDArray[np.float64], pressed: float | None = None, *, seed: int = 0
) -> Ratio:
    """The ratio of rounds that each have one, and the share in which tasks waited for a CPU."""
    values = np.asarray(ratios, np.float64)
    low, high = median_interval(values, seed)
    return Ratio(float(np.median(values)), low, high, pressed)


def median_interval(
    values: Sequence[float] | NDArray[np.float64], seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of the median, by a bootstrap."""
    generator = np.random.default_rng(seed)
    draws = generator.choice(np.asarray(values, np.float64), size=(RESAMPLES, len(values)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return float(low), float(high)
