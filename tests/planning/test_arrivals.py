"""Arrivals: their rate, their irregularity, and what is no description of bursts."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_serve.errors import UsageError
from resnet_serve.planning import arrivals
from resnet_serve.planning.arrivals import Bursts


def dispersion(moments: np.ndarray, seconds: float) -> float:
    """Variance over mean of the numbers in intervals of a second: 1 of a Poisson process."""
    counts, _ = np.histogram(moments, np.arange(0, seconds + 1))
    return float(np.var(counts) / np.mean(counts))


def test_poisson() -> None:
    moments = arrivals.moments(50, 2000, np.random.default_rng(1))
    assert len(moments) == pytest.approx(100_000, rel=0.02)
    assert np.all(np.diff(moments) >= 0)
    assert 0 <= moments[0] <= moments[-1] <= 2000
    assert dispersion(moments, 2000) == pytest.approx(1, abs=0.15)
    gaps = np.diff(moments)
    assert np.std(gaps) == pytest.approx(np.mean(gaps), rel=0.03)


def test_bursts_have_the_same_mean_rate_and_more_variance() -> None:
    bursts = Bursts(4, 2)
    moments = arrivals.moments(50, 20_000, np.random.default_rng(1), bursts)
    assert len(moments) == pytest.approx(1_000_000, rel=0.05)
    assert np.all(np.diff(moments) >= 0)
    assert dispersion(moments, 20_000) > 5
    counts, _ = np.histogram(moments, np.arange(0, 20_001))
    assert np.percentile(counts, 98) > 150, "during bursts four times the rate"


def test_the_same_seed_gives_the_same() -> None:
    one, two = (arrivals.moments(9, 30, np.random.default_rng(7), Bursts(2, 1)) for _ in range(2))
    assert np.array_equal(one, two)


def test_a_replication_has_enough_bursts() -> None:
    assert arrivals.seconds_of(1000, 100, None) == 10
    assert arrivals.seconds_of(1000, 100, Bursts(3, 2)) == pytest.approx(200)
    assert arrivals.seconds_of(1_000_000, 100, Bursts(3, 2)) == 10_000


@pytest.mark.parametrize(
    ("text", "bursts"),
    [("3:2s", Bursts(3, 2)), ("2.5x:500ms", Bursts(2.5, 0.5)), (" 9:1 s ", Bursts(9, 1))],
)
def test_read(text: str, bursts: Bursts) -> None:
    assert Bursts.parse(text) == bursts


@pytest.mark.parametrize(
    "text", ["", "3", "3:2", "1:2s", "10:2s", "3:0s", "3:601s", "x:1s", "3:2h"]
)
def test_what_is_no_burst(text: str) -> None:
    with pytest.raises(UsageError, match="3:2s: three times"):
        Bursts.parse(text)
    assert Bursts.parse("3:2s")
