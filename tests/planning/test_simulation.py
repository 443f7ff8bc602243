"""Replications: intervals, the warm-up, shares, and a queue that grows."""

from __future__ import annotations

import math

import planned
import pytest

from resnet_serve.planning import simulation
from resnet_serve.planning.arrivals import Bursts
from resnet_serve.planning.simulation import Effort, Estimate, simulate

LITTLE = Effort(replications=6, requests=2000)


def test_the_interval_is_that_of_student() -> None:
    found = Estimate.of([1.0, 2.0, 3.0])
    assert found.value == 2
    assert found.high - found.value == pytest.approx(4.303 / math.sqrt(3), rel=1e-3)
    assert Estimate.of([0.0, 0.2], 0.0).low == 0
    assert Estimate.of([5.0]) == Estimate(5, 5, 5)
    assert Estimate.of([math.nan, 4.0]) == Estimate(4, 4, 4)
    assert math.isnan(Estimate.of([math.nan]).value)
    many = Estimate.of([float(each) for each in range(40)])
    assert many.low < 19.5 < many.high


def test_its_interval_contains_what_theory_says() -> None:
    """M/M/1 at half of its capacity: p50 and p99 of an exponential latency."""
    station = planned.station(0.01, deviation_s=(0.01,))
    found = simulate((station,), 50, effort=Effort(replications=10, requests=20_000))
    for estimate, share in ((found.p50_ms, 0.5), (found.p99_ms, 0.99)):
        expected = -1000 * math.log(1 - share) / 50
        width = estimate.high - estimate.low
        assert estimate.low - width < expected < estimate.high + width
        assert width < 0.2 * expected
    assert found.busy.value == pytest.approx(0.5, abs=0.02)
    assert found.batch == 1
    assert not found.grows


def test_the_warm_up_is_not_counted() -> None:
    """A replica that starts empty has no wait; one that is overloaded for long always has it."""
    station = planned.station(0.01, queue=100)
    found = simulate((station,), 200, effort=Effort(replications=3, requests=4000))
    assert found.p50_ms.value == pytest.approx(1010, rel=0.02)
    assert found.requests < 3 * 4000
    assert found.rejected.value == pytest.approx(0.5, abs=0.02)
    assert found.busy.value == pytest.approx(1, abs=0.01)


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    station = planned.station(0.01, deviation_s=(0.004,), missed=0.1, queue=9)
    one, two = (simulate((station,), 70, effort=LITTLE) for _ in range(2))
    assert one == two
    other = simulate((station,), 70, effort=Effort(6, 2000, seed=2))
    assert other.p99_ms != one.p99_ms


def test_time_outside_and_bursts_add_to_the_latency() -> None:
    station = planned.station(0.01, deviation_s=(0.002,), queue=50)
    steady = simulate((station,), 50, effort=LITTLE)
    far = simulate((station,), 50, outside_ms=7, effort=LITTLE)
    assert far.p99_ms.value == pytest.approx(steady.p99_ms.value + 7)
    bursty = simulate((station,), 50, bursts=Bursts(3, 1), effort=LITTLE)
    assert bursty.p99_ms.value > 3 * steady.p99_ms.value
    assert bursty.rejected.value > 0


def test_a_queue_without_a_bound_grows_where_it_gets_too_much() -> None:
    open_ended = planned.station(0.01)
    assert simulate((open_ended,), 120, effort=LITTLE).grows
    bounded = planned.station(0.01, queue=10)
    assert not simulate((bounded,), 120, effort=LITTLE).grows
    behind = (planned.station(0.02, queue=10), open_ended)
    assert not simulate(behind, 120, effort=LITTLE).grows, "the first lets 50/s through"


def test_the_capacity_is_that_of_the_slowest_model() -> None:
    slow, fast = planned.station(0.02), planned.station(0.02, 0.025, instances=2)
    assert simulation.capacity_per_s((slow, fast)) == pytest.approx(50)
    assert simulation.capacity_per_s((fast,)) == pytest.approx(160)
