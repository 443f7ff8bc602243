"""What is better within a limit, as one number for the optimizer."""

from __future__ import annotations

import math

import pytest
from tunable import point

from resnet_serve.errors import UsageError
from resnet_serve.tuning.goal import Goal


def test_the_most_throughput_within_the_limit() -> None:
    goal = Goal(p99_ms=50)
    points = [point(100, 20), point(150, 50), point(180, 51)]
    assert goal.best(points) is points[1]
    assert goal.value(points) == 150
    assert goal.gain(points[1], points[0]) == 1.5


def test_any_that_keeps_it_is_better_than_any_that_does_not() -> None:
    goal = Goal(p99_ms=50)
    slow, near, far = [point(1, 49)], [point(900, 51)], [point(900, 500)]
    assert goal.value(slow) > 0 > goal.value(near) > goal.value(far)
    assert goal.best(near) is None
    assert goal.value([]) == -math.inf


def test_with_a_rate_the_lower_latency_is_better() -> None:
    goal = Goal(p99_ms=50, rate_per_s=40)
    quick = point(40, 10, None, rate_per_s=40.0, requests=120)
    slow = point(40, 40, None, rate_per_s=40.0, requests=120)
    late = point(25, 40, None, rate_per_s=40.0, requests=75)
    assert goal.value([quick]) > goal.value([slow]) > 0 > goal.value([point(40, 60, None)])
    assert goal.gain(quick, slow) == 4
    assert late.fell_behind
    assert goal.best([late]) is None


def test_chance_is_no_falling_behind() -> None:
    # 120 requests are expected; 100 are two standard deviations below.
    assert not point(100 / 3, 10, None, rate_per_s=40.0, requests=100).fell_behind


@pytest.mark.parametrize("wrong", [{"rate_per_s": 0.0}, {"rate_per_s": -1}, {"budget_points": -1}])
def test_what_is_no_goal(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="Give --"):
        Goal(p99_ms=50, **wrong)
