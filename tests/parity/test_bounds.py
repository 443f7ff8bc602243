"""Bounds without a distribution: against SciPy, and by how often they hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from resnet_serve.parity.bounds import (
    at_most,
    largest_share,
    rank_above,
    rank_below,
    share_interval,
    share_shown,
    smallest_share,
)

COUNTS = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS, st.floats(0, 1))
def test_the_tail_is_scipys(counts: tuple[int, int], share: float) -> None:
    count, n = counts
    assert at_most(count, n, share) == pytest.approx(binom.cdf(count, n, share), abs=1e-9)


@given(COUNTS)
def test_the_interval_of_a_share_is_scipys(counts: tuple[int, int]) -> None:
    count, n = counts
    expected = binomtest(count, n).proportion_ci(0.95, method="exact")
    assert share_interval(count, n) == pytest.approx((expected.low, expected.high), abs=1e-6)
    one_sided = binomtest(count, n, alternative="less").proportion_ci(0.95, method="exact")
    assert largest_share(count, n) == pytest.approx(one_sided.high, abs=1e-6)
    one_sided = binomtest(count, n, alternative="greater").proportion_ci(0.95, method="exact")
    assert smallest_share(count, n) == pytest.approx(one_sided.low, abs=1e-6)


def test_no_images_show_nothing() -> None:
    assert share_interval(0, 0) == (0, 1)
    assert (smallest_share(0, 0), largest_share(0, 0), share_shown(0)) == (0, 1, 0)


@pytest.mark.parametrize(("n", "rank"), [(1, 0), (58, 0), (59, 1), (93, 2), (10_000, 464)])
def test_a_quantile_is_above_a_value_of_that_rank(n: int, rank: int) -> None:
    """Wilks 1941: 59 values for 95 % of a population with 95 % confidence, 93 for the second."""
    assert rank_below(n, 0.05) == rank


@given(st.integers(1, 2000), st.sampled_from([0.01, 0.05, 0.5]))
def test_the_ranks_are_the_closest_that_hold(n: int, quantile: float) -> None:
    low, high = rank_below(n, quantile), rank_above(n, quantile)
    assert 0 <= low < high <= n + 1
    assert low == 0 or binom.cdf(low - 1, n, quantile) <= 0.05
    assert low == n or binom.cdf(low, n, quantile) > 0.05
    assert high == n + 1 or binom.cdf(high - 1, n, quantile) >= 0.95
    assert high == 1 or binom.cdf(high - 2, n, quantile) < 0.95


@pytest.mark.parametrize("n", [59, 250, 1000])
def test_both_bounds_hold_as_often_as_they_say(n: int) -> None:
    """Whatever the distribution: here a heavy-tailed one."""
    draws = np.sort(np.random.default_rng(n).standard_cauchy((4000, n)), axis=1)
    true = np.tan(np.pi * (0.05 - 0.5))
    assert (draws[:, rank_below(n, 0.05) - 1] <= true).mean() > 0.935
    assert (draws[:, rank_above(n, 0.05) - 1] >= true).mean() > 0.935


def test_few_images_show_a_part_only() -> None:
    assert share_shown(59) == pytest.approx(0.95, abs=1e-3)
    assert share_shown(16) == pytest.approx(0.829, abs=1e-3)
