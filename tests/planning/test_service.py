"""Service times of every batch size, from those that were measured."""

from __future__ import annotations

import numpy as np
import planned
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.loadtest.executions import BatchTimes, Executed
from resnet_serve.planning import service


def test_measured_sizes_are_taken_and_those_between_interpolated() -> None:
    made, allowed = service.station(planned.served(), [planned.executed()])
    assert made.mean_s == pytest.approx((0.005, 0.008, 0.011, 0.014))
    assert made.deviation_s == pytest.approx((0.0005, 0.0008, 0.0011, 0.0014))
    assert (made.max_batch, allowed, made.queue, made.timeout_s) == (4, 4, 40, 10.0)
    assert made.missed == service.MISSED
    assert made.capacity_per_s == pytest.approx(4 / 0.014)


def test_batches_end_at_the_largest_that_was_measured() -> None:
    made, allowed = service.station(planned.served(max_batch_size=16), [planned.executed()])
    assert (made.max_batch, allowed) == (4, 16)
    small, _ = service.station(planned.served(max_batch_size=2), [planned.executed()])
    assert small.max_batch == 2


def test_a_model_that_merges_no_requests_runs_one_at_a_time() -> None:
    alone, _ = service.station(planned.served(merges=False), [planned.executed()])
    assert alone.max_batch == 1
    decoder, _ = service.station(planned.served(preferred_batch_sizes=(1,)), [planned.executed()])
    assert decoder.max_batch == 1
    assert (
        service.station(
            planned.served(queue_requests=0, queue_timeout_ms=0.0), [planned.executed()]
        )[0].missed
        == 0
    )


@given(cores=st.integers(2, 4), size=st.integers(1, 12), below=st.integers(0, 13))
def test_images_one_per_thread_take_as_many_rounds(cores: int, size: int, below: int) -> None:
    """Where the sizes 1 to the threads were measured, and the largest."""
    times_ms = {each: 4.0 + each / 10 for each in range(1, cores + 1)} | {12: 40.0}
    how = planned.served(max_batch_size=12, threads=cores, one_per_core_below=below)
    made, _ = service.station(how, [planned.executed(times_ms)])
    mean_ms = 1000 * made.mean_s[size - 1]
    if size in times_ms:
        assert mean_ms == pytest.approx(times_ms[size])
    elif size < below:
        rounds, rest = divmod(size, cores)
        assert mean_ms == pytest.approx(rounds * times_ms[cores] + times_ms.get(rest, 0.0))
    else:
        share = (size - cores) / (12 - cores)
        assert mean_ms == pytest.approx(times_ms[cores] * (1 - share) + 40.0 * share)


def test_loads_are_weighted_by_their_batches_and_their_difference_counts() -> None:
    rows = [
        BatchTimes(batch_size=1, executions=300, mean_ms=4.0, deviation_ms=0.0),
        BatchTimes(batch_size=1, executions=100, mean_ms=8.0),
        BatchTimes(batch_size=2, executions=2, mean_ms=99.0),
    ]
    pooled = service.pool(rows)
    assert list(pooled) == [1], "two batches say little"
    assert pooled[1] == pytest.approx((5.0, 3**0.5))
    assert service.pool(rows[2:]) == {2: (99.0, 0.0)}, "they are all there is"


def test_the_pause_is_that_of_busy_instances() -> None:
    idle = planned.executed(busy=0.4, cycle_ms=12.0)
    busy = planned.executed(busy=0.9, cycle_ms=10.0)
    assert service.station(planned.served(), [idle])[0].pause_s == 0
    assert service.station(planned.served(), [idle, busy])[0].pause_s == pytest.approx(0.001)


def test_nothing_measured() -> None:
    with pytest.raises(ValueError, match="no batches"):
        service.station(planned.served(), [Executed(model="net", batches=())])


def test_draws_have_the_mean_and_the_deviation() -> None:
    made = planned.station(0.01, deviation_s=(0.003,))
    drawn = made.draws(np.random.default_rng(0), 1, 20_000)
    assert np.mean(drawn) == pytest.approx(0.01, rel=0.02)
    assert np.std(drawn) == pytest.approx(0.003, rel=0.05)
    assert min(drawn) > 0
    assert set(planned.station(0.01).draws(np.random.default_rng(0), 1, 5)) == {0.01}


def test_a_faster_machine() -> None:
    made = planned.station(0.01, 0.02, deviation_s=(0.002, 0.004), pause_s=0.001).faster(2)
    assert made.mean_s == (0.005, 0.01)
    assert made.deviation_s == (0.001, 0.002)
    assert made.pause_s == 0.0005
