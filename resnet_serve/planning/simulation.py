"""Simulation: what a replica does under a rate, over independent replications.

Each replication starts empty with random numbers of its own; what arrives in its first part is
not counted (warm-up). A mean over replications has the 95 % interval of Student's t: that is the
interval of the simulation, given the times that were measured, and says nothing of those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resnet_serve.planning import arrivals, replica
from resnet_serve.planning.arrivals import Bursts
from resnet_serve.planning.replica import Run
from resnet_serve.planning.service import Station

_WARM_UP = 0.1  # of a replication
# Student's t for a two-sided 95 % interval, by degrees of freedom.
_T = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160)
_T_NORMAL = 2.145  # of 14 and, to be safe, of more


@dataclass(frozen=True)
class Estimate:
    """A mean over replications and its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float], least: float = -math.inf) -> Estimate:
        """From one value a replication; the interval ends at `least`."""
        known = [each for each in values if not math.isnan(each)]
        if not known:
            return cls(math.nan, math.nan, math.nan)
        mean = float(np.mean(known))
        if len(known) == 1:
            return cls(mean, mean, mean)
        t = _T[len(known) - 2] if len(known) - 2 < len(_T) else _T_NORMAL
        half = t * float(np.std(known, ddof=1)) / math.sqrt(len(known))
        return cls(mean, max(least, mean - half), mean + half)


@dataclass(frozen=True)
class Outcome:
    """What a replica did under `rate_per_s`: latencies in milliseconds, shares from 0 to 1.

    `rejected` is the share of the requests that found a queue full or waited too long, `busy` that
    of the time in which the instances of its busiest model computed, `batch` the mean batch of the
    last model. `grows` says that its queue has no bound and the rate is more than it can do: then
    the latencies are those of a moment.
    """

    rate_per_s: float
    requests: int
    p50_ms: Estimate
    p99_ms: Estimate
    rejected: Estimate
    busy: Estimate
    batch: float
    grows: bool = False


@dataclass(frozen=True)
class Effort:
    """How much is simulated: `replications` of about `requests` each, from one seed."""

    replications: int = 8
    requests: int = 8000
    seed: int = 1


def capacity_per_s(stations: Sequence[Station]) -> float:
    """The requests that a replica does in a second at most."""
    return min(each.capacity_per_s for each in stations)


def simulate(
    stations: Sequence[Station],
    rate_per_s: float,
    *,
    outside_ms: float = 0.0,
    bursts: Bursts | None = None,
    effort: Effort | None = None,
) -> Outcome:
    """What one replica does under a rate; each latency has `outside_ms` beside queue and compute.

    The same arguments give the same result.
    """
    effort = effort or Effort()
    seconds = arrivals.seconds_of(effort.requests, rate_per_s, bursts)
    seeds = np.random.SeedSequence(effort.seed).spawn(effort.replications)
    runs = []
    for seed in seeds:
        random = np.random.default_rng(seed)
        moments = arrivals.moments(rate_per_s, seconds, random, bursts)
        runs.append(replica.run(stations, moments, random))
    measured = [_latencies_ms(run, _WARM_UP * seconds) + outside_ms for run in runs]
    images = sum(run.images[-1] for run in runs)
    return Outcome(
        rate_per_s,
        sum(len(each) for each in measured),
        Estimate.of([_percentile(each, 50) for each in measured], 0.0),
        Estimate.of([_percentile(each, 99) for each in measured], 0.0),
        Estimate.of([float(np.isnan(each).mean()) if len(each) else 0.0 for each in measured], 0.0),
        Estimate.of([_busy(run, stations, seconds) for run in runs], 0.0),
        images / max(1, sum(run.batches[-1] for run in runs)),
        grows=_grows(stations, rate_per_s),
    )


def _latencies_ms(run: Run, warm_up_s: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    counted: np.ndarray[tuple[int], np.dtype[np.float64]] = (
        1000 * run.latency_s[run.arrived_s >= warm_up_s]
    )
    return counted


def _percentile(latencies_ms: np.ndarray[tuple[int], np.dtype[np.float64]], percent: int) -> float:
    answered = latencies_ms[~np.isnan(latencies_ms)]
    return float(np.percentile(answered, percent)) if len(answered) else math.nan


def _busy(run: Run, stations: Sequence[Station], seconds: float) -> float:
    """Of the busiest model; its last batches end after the last request came."""
    shares = [
        busy_s / (station.instances * seconds)
        for busy_s, station in zip(run.busy_s, stations, strict=True)
    ]
    return min(1.0, max(shares))


def _grows(stations: Sequence[Station], rate_per_s: float) -> bool:
    """Whether a model without a bound gets more than it can do, from those before it."""
    for station in stations:
        if rate_per_s > station.capacity_per_s and not station.queue:
            return True
        rate_per_s = min(rate_per_s, station.capacity_per_s)
    return False
