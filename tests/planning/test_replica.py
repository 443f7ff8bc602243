"""One replica: by hand, request by request, and against the formulas of queueing theory."""

from __future__ import annotations

import math

import numpy as np
import planned
import pytest

from resnet_serve.planning import arrivals, replica
from resnet_serve.planning.service import Station


def latencies_ms(*moments_ms: float, stations: tuple[Station, ...]) -> list[float]:
    """The latency of each request; NaN where rejected."""
    arrived = np.array(moments_ms) / 1000
    run = replica.run(stations, arrived, np.random.default_rng(0))
    return [round(1000 * each, 6) for each in run.latency_s]


def long_run(station: Station, rate_per_s: float, seconds: float = 3000) -> np.ndarray:
    random = np.random.default_rng(2)
    run = replica.run((station,), arrivals.moments(rate_per_s, seconds, random), random)
    found: np.ndarray = run.latency_s[run.arrived_s > seconds / 10]
    return found


def test_one_after_the_other() -> None:
    assert latencies_ms(0, 1, 2, stations=(planned.station(0.010),)) == [10, 19, 28]
    two = planned.station(0.010, instances=2)
    assert latencies_ms(0, 1, 2, stations=(two,)) == [10, 10, 18]


def test_a_free_instance_takes_what_waits() -> None:
    batched = planned.station(0.010, 0.012, 0.014)
    # 1, 2 and 3 ms wait for the first, and then share a batch of three; the last has its own.
    assert latencies_ms(0, 1, 2, 3, 4, stations=(batched,)) == [10, 23, 22, 21, 30]


def test_a_batch_that_is_not_full_waits() -> None:
    delayed = planned.station(0.010, 0.012, 0.014, delay_s=0.005)
    assert latencies_ms(0, stations=(delayed,)) == [15]
    assert latencies_ms(0, 2, stations=(delayed,)) == [17, 15]
    assert latencies_ms(0, 2, 3, stations=(delayed,)) == [17, 15, 14], "full at once"
    assert latencies_ms(0, 2, 3, 50, stations=(delayed,)) == [17, 15, 14, 15]


def test_a_full_queue_rejects_at_once_and_others_go_on() -> None:
    bounded = planned.station(0.010, queue=1)
    found = latencies_ms(0, 1, 2, 11, stations=(bounded,))
    assert found[:2] == [10, 19]
    assert math.isnan(found[2])
    assert found[3] == 19


def test_a_backend_that_keeps_the_bound_rejects_the_oldest() -> None:
    """Five wait: the batch of two leaves three behind, two more than the bound."""
    own = planned.station(0.010, 0.012, queue=1, rejects_oldest=True)
    found = latencies_ms(0, 1, 2, 3, 4, 5, stations=(own,))
    assert found[0] == 10
    assert [math.isnan(each) for each in found[1:]] == [True, True, False, False, False]
    assert found[3:] == [19, 18, 27]
    two = planned.station(0.010, 0.012, queue=1, instances=2, rejects_oldest=True)
    found = latencies_ms(0, 0, 2, 2, 2, 2, 2, stations=(two,))
    assert sum(map(math.isnan, found)) == 1, "each instance rejects its share"


def test_who_waited_too_long_is_rejected() -> None:
    limited = planned.station(0.010, timeout_s=0.008)
    found = latencies_ms(0, 1, 5, 25, stations=(limited,))
    assert found[0] == 10
    assert math.isnan(found[1])
    assert found[2:] == [15, 10]


def test_a_pause_follows_each_batch() -> None:
    paused = planned.station(0.010, pause_s=0.002)
    assert latencies_ms(0, 1, 30, stations=(paused,)) == [10, 21, 10]


def test_a_missed_instance_waits_for_the_next_request_or_half_a_second() -> None:
    missed = planned.station(0.010, missed=1.0)
    assert latencies_ms(0, 1, stations=(missed,)) == [10, 509]
    assert latencies_ms(0, 1, 100, stations=(missed,)) == [10, 109, 510]
    bounded = planned.station(0.010, missed=1.0, queue=1)
    found = latencies_ms(0, 1, 100, stations=(bounded,))
    assert found[1] == 509, "a request that is rejected wakes nobody"
    assert math.isnan(found[2])


def test_models_in_turn() -> None:
    stations = (planned.station(0.004, instances=2), planned.station(0.010))
    assert latencies_ms(0, 0, 50, stations=stations) == [14, 24, 14]
    bounded = (planned.station(0.001), planned.station(0.010, queue=1))
    found = latencies_ms(0, 0, 0, 0, stations=bounded)
    assert found[0] == 11
    assert found[1] == 21
    assert math.isnan(found[2]), "rejected by the second"


def test_images_are_not_decoded_while_decoded_ones_wait() -> None:
    """The first is computed from 1 to 11, the second waits for it; the third is held until then."""
    held = (planned.station(0.001, holds=1, queue=1), planned.station(0.010))
    assert latencies_ms(0, 1, 2, stations=held) == [11, 20, 29]
    run = replica.run(held, np.array([0, 0.0015, 0.003, 0.004]), np.random.default_rng(0))
    assert math.isnan(run.latency_s[3]), "rejected before it was decoded"
    assert run.batches == (3, 3)


def test_what_was_run_is_counted() -> None:
    run = replica.run((planned.station(0.010, 0.012),), np.zeros(3), np.random.default_rng(0))
    assert (run.batches, run.images) == ((2,), (3,))
    assert run.busy_s == (pytest.approx(0.022),)


def test_exponential_times_and_one_instance() -> None:
    """M/M/1: the latency is exponential with the rate μ − λ."""
    found = long_run(planned.station(0.01, deviation_s=(0.01,)), 50)
    for percent in (50, 90, 99):
        expected = -math.log(1 - percent / 100) / 50
        assert np.percentile(found, percent) == pytest.approx(expected, rel=0.06)


def test_constant_times_and_one_instance() -> None:
    """M/D/1: the mean wait is ρ s / 2 (1 − ρ), by Pollaczek and Khinchine."""
    found = long_run(planned.station(0.01), 80)
    assert np.mean(found) == pytest.approx(0.01 + 0.8 * 0.01 / (2 * 0.2), rel=0.05)


@pytest.mark.parametrize("deviation_s", [0.01, 0.0])
def test_without_a_queue_the_share_that_is_lost_does_not_depend_on_the_distribution(
    deviation_s: float,
) -> None:
    """M/G/c/c loses what Erlang's formula says; here one may wait beside three instances."""
    if deviation_s:
        station = planned.station(0.01, deviation_s=(deviation_s,), instances=3, queue=1)
        load, states = 2.5, [1.0]
        for number in range(1, 5):
            states.append(states[-1] * load / min(number, 3))
        expected = states[-1] / sum(states)
        lost = np.isnan(long_run(station, 250, 1000)).mean()
        assert lost == pytest.approx(expected, rel=0.05)
    else:
        station = planned.station(0.01, queue=1)
        lost = np.isnan(long_run(station, 1000, 100)).mean()
        assert lost == pytest.approx(0.9, abs=0.01), "ten times as many as it does"
