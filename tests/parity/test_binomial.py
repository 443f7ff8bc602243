"""The exact interval, against SciPy."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from resnet_serve.parity.binomial import at_least, exact_interval


@given(st.integers(1, 1500), st.floats(0, 1))
def test_the_interval_is_clopper_and_pearsons(n: int, share: float) -> None:
    successes = round(share * n)
    expected = binomtest(successes, n).proportion_ci(0.95, "exact")
    assert exact_interval(successes, n) == pytest.approx(tuple(expected), abs=1e-7)


@given(st.integers(0, 400), st.integers(1, 400), st.floats(0, 1))
@example(2, 1, 1.0)
def test_the_tail_is_the_binomials(successes: int, n: int, p: float) -> None:
    assert at_least(successes, n, p) == pytest.approx(binom.sf(successes - 1, n, p), abs=1e-9)


def test_of_no_images_nothing_is_known() -> None:
    assert exact_interval(0, 0) == (0.0, 1.0)
