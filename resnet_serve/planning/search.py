"""Search: the highest rate at which one replica keeps the limits, and so the number of replicas.

Requests that are spread at random make the same process of arrivals at each replica as one of
1/n of the rate. So one curve, what a replica does under its rate, gives the number of replicas,
the head room and what happens with one less:

    n = ⌈rate / most⌉      head room n · most / rate − 1      one less: the curve at rate / (n − 1)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from resnet_serve.planning import simulation
from resnet_serve.planning.demand import Demand
from resnet_serve.planning.machines import Machine
from resnet_serve.planning.measured import Candidate
from resnet_serve.planning.service import Station
from resnet_serve.planning.simulation import Effort, Outcome

QUICK = Effort(replications=3, requests=3000)
_SHARES = (0.05, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of what a replica can do at most
_STEPS = 4
_MISSES = 2
MOST_REPLICAS = 100_000


@dataclass
class Curve:
    """What one configuration on one machine does by the rate of a replica, as far as simulated."""

    machine: Machine
    candidate: Candidate
    demand: Demand
    effort: Effort
    outcomes: dict[float, Outcome] = field(default_factory=dict)

    @property
    def stations(self) -> tuple[Station, ...]:
        """The stations of a replica on this machine."""
        return tuple(each.faster(self.machine.speed) for each in self.candidate.stations)

    @property
    def capacity_per_s(self) -> float:
        """What a replica does at most, whatever the latency."""
        return simulation.capacity_per_s(self.stations)

    def at(self, rate_per_s: float) -> Outcome:
        """What a replica does under a rate."""
        if rate_per_s not in self.outcomes:
            self.outcomes[rate_per_s] = simulation.simulate(
                self.stations,
                rate_per_s,
                outside_ms=self.candidate.outside_ms,
                bursts=self.demand.bursts,
                effort=self.effort,
            )
        return self.outcomes[rate_per_s]

    def points(self) -> tuple[Outcome, ...]:
        """The outcomes by rate."""
        return tuple(self.outcomes[rate] for rate in sorted(self.outcomes))

    def most_per_s(self, above: float = 0.0) -> float:
        """The highest rate at which a replica keeps the limits; 0 where none does.

        Only what is more than `above` counts: 0 where those are not kept. Higher rates take longer
        to simulate, so that a second rate in a row which does not keep them is the last.
        """
        rates = [share * self.capacity_per_s for share in _SHARES]
        low, missed = 0.0, 0
        if above > 0:
            if not self.demand.met(self.at(above)):
                return 0.0
            low, rates = above, [each for each in rates if each > above]
        for rate in rates:
            if self.demand.met(self.at(rate)):
                low, missed = rate, 0
            else:
                missed += 1
            if missed == _MISSES:
                break
        if low == 0.0:
            return 0.0
        high = next((rate for rate in rates if rate > low), None)
        for _ in range(_STEPS if high is not None else 0):
            middle = (low + (high or low)) / 2
            if self.demand.met(self.at(middle)):
                low = middle
            else:
                high = middle
        return low if low > above else 0.0


@dataclass(frozen=True)
class Fleet:
    """So many replicas of one configuration on one machine.

    `most_per_s` is what one replica does within the limits. `without_one` is what each of the
    others does when one has failed; None where there is no other.
    """

    machine: Machine
    candidate: Candidate
    replicas: int
    outcome: Outcome
    without_one: Outcome | None
    most_per_s: float
    demand: Demand

    @property
    def head_room(self) -> float:
        """How much more it does within the limits, as a share of the rate."""
        return self.replicas * self.most_per_s / self.demand.rate_per_s - 1

    @property
    def cost_per_million(self) -> float | None:
        """What a million images cost at the rate, in the currency of the table."""
        price = self.machine.price_per_hour
        if price is None:
            return None
        return self.replicas * price / (3600 * self.demand.rate_per_s) * 1e6

    @property
    def keeps_without_one(self) -> bool:
        """Whether the limits hold with one replica less, once that was noticed."""
        return self.without_one is not None and self.demand.met(self.without_one)

    @property
    def lost(self) -> float:
        """Requests that fail until a failed replica is noticed: those sent to it meanwhile."""
        return self.demand.rate_per_s / self.replicas * self.demand.notice_s


def fleet(curve: Curve, most_per_s: float, replicas: int) -> Fleet:
    """The fleet of so many replicas."""
    rate = curve.demand.rate_per_s
    return Fleet(
        curve.machine,
        curve.candidate,
        replicas,
        curve.at(rate / replicas),
        curve.at(rate / (replicas - 1)) if replicas > 1 else None,
        most_per_s,
        curve.demand,
    )


def needed(curve: Curve, most_per_s: float) -> int:
    """The smallest number of replicas that keep the limits, simulated at their own rate.

    At most `MOST_REPLICAS`, also where so many do not keep them. More replicas are taken to do no
    worse, so that a few of the numbers between are simulated.
    """
    rate = curve.demand.rate_per_s

    def enough(replicas: int) -> bool:
        return curve.demand.met(curve.at(rate / replicas))

    high = max(1, math.ceil(rate / most_per_s))
    low, step = high, 1  # too few, unless found otherwise
    while high < MOST_REPLICAS and not enough(high):
        low, high, step = high, min(high + step, MOST_REPLICAS), 2 * step
    if low == high:
        low, step = high - 1, 1
        while low > 0 and enough(low):
            low, high, step = max(0, low - step), low, 2 * step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def ranked(
    pairs: list[tuple[Machine, Candidate]], demand: Demand, told: Callable[[int, int], None]
) -> list[tuple[float, Curve]]:
    """Every pair of machine and configuration that keeps the limits, the cheapest first.

    Simulated quickly: what remains is simulated again. `told(done, all)` is called after each.
    Without prices the fewest replicas are first. A pair is left out that does not do more than the
    best of its machine until then: one simulation, at the rate of that one, tells.
    """
    found: list[tuple[float, Curve]] = []
    best: dict[str, float] = {}
    curves = [Curve(machine, candidate, demand, QUICK) for machine, candidate in pairs]
    curves.sort(key=lambda each: -each.capacity_per_s)
    for done, curve in enumerate(curves, start=1):
        name = curve.machine.name
        if curve.capacity_per_s > best.get(name, 0.0):
            most_per_s = curve.most_per_s(best.get(name, 0.0))
            if most_per_s > 0:
                replicas = demand.rate_per_s / most_per_s
                found.append((replicas * (curve.machine.price_per_hour or 1.0), curve))
                best[name] = most_per_s
        told(done, len(curves))
    return sorted(found, key=lambda each: each[0])


def closest(
    pairs: list[tuple[Machine, Candidate]], demand: Demand, effort: Effort = QUICK
) -> Curve:
    """The curve with the lowest p99, where no pair keeps the limits.

    They are compared quickly; the one that is returned is simulated with `effort`, as what keeps
    the limits is.
    """
    curves = [Curve(machine, candidate, demand, QUICK) for machine, candidate in pairs]
    for curve in curves:
        curve.at(_SHARES[0] * curve.capacity_per_s)
    least = min(curves, key=lambda each: min(point.p99_ms.high for point in each.points()))
    found = Curve(least.machine, least.candidate, demand, effort)
    found.at(_SHARES[0] * found.capacity_per_s)
    return found
