"""The rate that a replica keeps, and the number of replicas that follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import planned
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.planning import search, simulation
from resnet_serve.planning.arrivals import Bursts
from resnet_serve.planning.demand import Demand
from resnet_serve.planning.machines import Machine
from resnet_serve.planning.search import Curve
from resnet_serve.planning.service import Station
from resnet_serve.planning.simulation import Effort, Outcome

LITTLE = Effort(replications=3, requests=500)
MACHINE = Machine("small", 0.1)
STATION = planned.station(0.005, 0.008, 0.011, 0.014, deviation_s=(0.001,) * 4, queue=60)


def curve(demand: Demand, *stations: object, **machine: float) -> Curve:
    of = Machine("small", 0.1, **machine)
    return Curve(of, planned.candidate(*(stations or (STATION,))), demand, LITTLE)


def test_the_highest_rate_within_the_limit() -> None:
    demand = Demand(5000, 40)
    made = curve(demand)
    most = made.most_per_s()
    assert 0.5 * made.capacity_per_s < most < made.capacity_per_s
    assert demand.met(made.at(most))
    over = [each for each in made.points() if each.rate_per_s > 1.05 * most]
    assert over
    assert not any(demand.met(each) for each in over)


@pytest.mark.parametrize("rate", [20.0, 700.0, 5000.0])
def test_as_few_replicas_as_keep_it(rate: float) -> None:
    demand = Demand(rate, 40)
    made = curve(demand)
    most = made.most_per_s()
    count = search.needed(made, most)
    fleet = search.fleet(made, most, count)
    assert demand.met(fleet.outcome)
    assert not fleet.keeps_without_one
    assert search.fleet(made, most, count + 1).keeps_without_one
    assert (fleet.without_one is None) == (count == 1)
    assert fleet.head_room > -0.1
    assert fleet.lost == pytest.approx(rate / count * 20)
    assert fleet.cost_per_million == pytest.approx(count * 0.1 / 3600 / rate * 1e6)


class Threshold:
    """A curve whose limits are kept by so many replicas or more; counts what is simulated."""

    def __init__(self, replicas: int, rate: float = 1e6) -> None:
        self.demand, self._replicas, self._rate = self, replicas, rate
        self.rate_per_s, self.asked = rate, 0

    def at(self, rate_per_s: float) -> float:
        self.asked += 1
        return self._rate / rate_per_s

    def met(self, replicas: float) -> bool:
        return round(replicas) >= self._replicas


@given(wanted=st.integers(1, search.MOST_REPLICAS), guess=st.integers(1, search.MOST_REPLICAS))
def test_a_wrong_first_guess_costs_few_simulations(wanted: int, guess: int) -> None:
    made = Threshold(wanted)
    assert search.needed(cast(Curve, made), made.rate_per_s / guess * (1 + 1e-9)) == wanted
    assert made.asked <= 2 * abs(wanted - guess).bit_length() + 3


def test_where_no_number_is_enough_the_search_ends() -> None:
    made = Threshold(2 * search.MOST_REPLICAS)
    assert search.needed(cast(Curve, made), made.rate_per_s) == search.MOST_REPLICAS


def test_a_stricter_limit_or_bursts_need_more() -> None:
    def count(demand: Demand) -> int:
        made = curve(demand)
        return search.needed(made, made.most_per_s())

    easy = count(Demand(5000, 60))
    assert count(Demand(5000, 20)) > easy
    assert count(Demand(5000, 60, bursts=Bursts(3, 0.3))) > 1.5 * easy


def test_a_machine_twice_as_fast_needs_about_half() -> None:
    demand = Demand(5000, 40)
    slow, fast = curve(demand), curve(demand, speed=2.0)
    assert fast.capacity_per_s == pytest.approx(2 * slow.capacity_per_s)
    assert search.needed(fast, fast.most_per_s()) <= search.needed(slow, slow.most_per_s()) / 1.9


def test_a_limit_below_the_time_of_an_image_is_never_kept() -> None:
    demand = Demand(100, 4)
    assert curve(demand).most_per_s() == 0
    found = search.closest([(MACHINE, planned.candidate(STATION))], demand)
    assert min(each.p99_ms.value for each in found.points()) > 5


def test_the_cheapest_is_first_and_what_cannot_be_the_best_is_not_simulated() -> None:
    demand = Demand(2000, 60)
    good, bad = (
        planned.candidate(STATION, title="good"),
        planned.candidate(planned.station(0.05, queue=60), title="bad"),
    )
    dear = Machine("large", 1.0, speed=2.0)
    told: list[tuple[int, int]] = []
    pairs = [(MACHINE, bad), (MACHINE, good), (dear, good)]
    found = search.ranked(pairs, demand, lambda *at: told.append(at))
    assert [(each.machine.name, each.candidate.title) for _, each in found] == [
        *[("small", "good"), ("large", "good")]
    ]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_one_simulation_tells_that_a_configuration_does_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All could do as much without the limit; in bursts a simulation is long."""
    simulated: list[float] = []
    real = simulation.simulate

    def counted(stations: tuple[Station, ...], rate_per_s: float, **how: Any) -> Outcome:
        simulated.append(rate_per_s)
        return real(stations, rate_per_s, **how)

    monkeypatch.setattr(simulation, "simulate", counted)
    demand = Demand(2000, 60, bursts=Bursts(3, 0.1))
    first = planned.candidate(STATION, title="first")
    # The client of each needs more than what is left of the limit.
    others = [replace(first, title=f"{number}", outside_ms=30.0 + number) for number in range(1, 5)]
    alone = search.ranked([(MACHINE, first)], demand, lambda *_: None)
    count = len(simulated)
    found = search.ranked([(MACHINE, each) for each in (first, *others)], demand, lambda *_: None)
    assert len(simulated) == 2 * count + len(others)
    assert [each.candidate.title for _, each in found] == ["first"]
    assert found[0][0] == alone[0][0]


def test_a_configuration_that_does_more_replaces_the_best() -> None:
    """Both could do as much; the first one tried needs more outside of the server."""
    demand = Demand(2000, 40)
    better = planned.candidate(STATION, title="better")
    worse = replace(better, title="worse", outside_ms=better.outside_ms + 10)
    found = search.ranked([(MACHINE, worse), (MACHINE, better)], demand, lambda *_: None)
    assert [each.candidate.title for _, each in found] == ["better", "worse"]
