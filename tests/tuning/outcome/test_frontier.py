"""The frontier against its definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tunable import point, trial

from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.outcome.frontier import Reached, frontier, ranked, reached

points = st.lists(
    st.builds(point, st.integers(1, 50).map(float), st.integers(1, 50).map(float)), max_size=30
)


@given(points)
def test_no_other_point_exceeds_one_of_it(made: list) -> None:
    found = [Reached(trial(each), each) for each in made]
    best = frontier(found)
    for each in best:
        for other in found:
            more = other.point.throughput_per_s >= each.point.throughput_per_s
            less = other.point.p99_ms <= each.point.p99_ms
            same = (other.point.throughput_per_s, other.point.p99_ms) == (
                each.point.throughput_per_s,
                each.point.p99_ms,
            )
            assert same or not (more and less)
    kept = {(each.point.throughput_per_s, each.point.p99_ms) for each in best}
    for other in found:
        assert any(t >= other.point.throughput_per_s and p <= other.point.p99_ms for t, p in kept)
    assert [each.point.p99_ms for each in best] == sorted(each.point.p99_ms for each in best)


def test_versions_that_may_not_be_served_do_not_count() -> None:
    one, two = trial(point(100), number=1), trial(point(200), number=2, version=2)
    assert [each.point.throughput_per_s for each in reached([one, two], {1})] == [100]
    assert ranked([one, two], Goal(p99_ms=50), {1}) == (one,)
    assert ranked([one, two], Goal(p99_ms=50), {1, 2}) == (two, one)
    assert ranked([one, two], Goal(p99_ms=1), {1, 2}) == ()
