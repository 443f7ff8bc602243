"""What is asked of a fleet: what keeps it, and what cannot be asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resnet_serve.errors import UsageError
from resnet_serve.planning.arrivals import Bursts
from resnet_serve.planning.demand import Demand
from resnet_serve.planning.simulation import Estimate, Outcome

CALM = Outcome(
    rate_per_s=10,
    requests=1000,
    p50_ms=Estimate(5, 5, 5),
    p99_ms=Estimate(40, 35, 45),
    rejected=Estimate(0, 0, 0.002),
    busy=Estimate(0.5, 0.5, 0.5),
    batch=1.0,
)


def test_the_upper_end_of_the_p99_counts() -> None:
    demand = Demand(100, 45)
    assert demand.met(CALM)
    assert not Demand(100, 44).met(CALM)
    assert not demand.met(replace(CALM, rejected=Estimate(0.002, 0, 0.003)))
    assert Demand(100, 45, rejected=0.002).met(replace(CALM, rejected=Estimate(0.002, 0, 0.003)))
    assert not demand.met(replace(CALM, grows=True))
    nothing = Estimate(float("nan"), float("nan"), float("nan"))
    assert not demand.met(replace(CALM, p99_ms=nothing)), "nothing was answered"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"rate_per_s": 0}, "--rate above 0"),
        ({"rate_per_s": float("nan")}, "--rate above 0"),
        ({"rate_per_s": 1e9}, "--rate above 0"),
        ({"rejected": 1.0}, "--max-rejected"),
        ({"rejected": -0.1}, "--max-rejected"),
        ({"notice_s": -1}, "--notice"),
        ({"notice_s": float("inf")}, "--notice"),
    ],
)
def test_what_cannot_be_asked(asked: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Demand(**{"rate_per_s": 10.0, "p99_ms": 50.0, **asked})


def test_in_words() -> None:
    assert str(Demand(5000, 50)) == "5000 requests/s with p99 ≤ 50 ms"
    assert "in bursts of 3 times the rate for 2 s" in str(Demand(5000, 50, bursts=Bursts(3, 2)))
