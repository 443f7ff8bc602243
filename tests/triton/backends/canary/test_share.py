"""The share is exact, and does not fall on the same request of a cycle."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from resnet_serve.triton.backends.canary.share import Sampler


@pytest.mark.parametrize("percent", ["0.5", "1", "7", "10", "33.3", "50", "75", "99.9", "100"])
def test_after_any_number_of_requests_the_share_is_exact(percent: str) -> None:
    share = Fraction(percent) / 100
    sampler, chosen = Sampler(share, random.Random(0)), 0
    for requests in range(1, 5001):
        chosen += sampler.take()
        assert abs(chosen - requests * share) < 1.01
    assert chosen == pytest.approx(5000 * float(share), abs=1)


def test_every_request_of_a_cycle_is_chosen_as_often() -> None:
    sampler = Sampler(Fraction(1, 10), random.Random(0))
    places = [number % 10 for number in range(20_000) if sampler.take()]
    counts = [places.count(place) for place in range(10)]
    assert len(places) == 2000
    assert min(counts) > 150
