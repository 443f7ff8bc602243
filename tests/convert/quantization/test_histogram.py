"""Histograms: the counts of numpy, in whatever order and batches the values arrive."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from resnet_convert.quantization.histogram import BINS, Histogram

VALUES = arrays.arrays(
    np.float32,
    st.integers(1, 40),
    elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)
    | st.floats(-4, 4, width=32, allow_subnormal=False)
    | st.just(0.0),
)


def same(one: Histogram, other: Histogram) -> bool:
    plain = ("exponent", "zeros", "low", "high")
    return np.array_equal(one.counts, other.counts) and all(
        getattr(one, name) == getattr(other, name) for name in plain
    )


@given(VALUES)
def test_every_value_is_in_its_bin(values: NDArray[np.float32]) -> None:
    seen = Histogram.of(values)
    assert (seen.low, seen.high) == (values.min(), values.max())
    assert seen.zeros == int((values == 0).sum())
    assert seen.total == values.size
    bins = np.floor(np.abs(values.astype(np.float64)) / seen.width).astype(int)
    for row, chosen in enumerate((values > 0, values < 0)):
        expected = np.bincount(bins[chosen], minlength=BINS)
        np.testing.assert_array_equal(seen.counts[row], expected)


@given(st.lists(VALUES, min_size=1, max_size=5), st.randoms())
def test_the_sum_is_the_histogram_of_all_in_any_order(
    parts: list[NDArray[np.float32]], random: Random
) -> None:
    whole = Histogram.of(np.concatenate(parts))
    random.shuffle(parts)
    assert same(sum(map(Histogram.of, parts), start=Histogram()), whole)


@given(VALUES, VALUES, VALUES)
def test_sums_may_be_grouped(a: NDArray[np.float32], b: NDArray[np.float32], c: object) -> None:
    one, two, three = Histogram.of(a), Histogram.of(b), Histogram.of(np.asarray(c))
    assert same((one + two) + three, one + (two + three))
    assert same(one + two, two + one)
    assert same(one + Histogram(), one)


@given(VALUES)
def test_at_least_half_of_the_bins_are_in_reach(values: NDArray[np.float32]) -> None:
    seen = Histogram.of(values)
    largest = float(np.abs(values).max())
    if largest > 1e-20:
        assert BINS / 2 <= largest / seen.width < BINS


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_told_and_stays_told(bad: float) -> None:
    good, damaged = np.ones(4, np.float32), np.asarray([1, bad, 2], np.float32)
    for order in ((good, damaged), (damaged, good)):
        assert not sum(map(Histogram.of, order), start=Histogram()).finite
    assert not Histogram().finite
    assert Histogram.of(good).finite


def test_pixels_and_planes_of_any_shape() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), dtype=np.uint8)
    assert same(Histogram.of(pixels), Histogram.of(pixels.ravel().astype(np.float32)))
    assert same(Histogram.of(pixels[:, ::2]), Histogram.of(pixels[:, ::2].copy()))
    assert same(Histogram.of(np.zeros((0, 3), np.float32)), Histogram())


@pytest.mark.parametrize("largest", [1e-45, 1e-38, 1e-31, 3.4e38])
def test_the_ends_of_fp32(largest: float) -> None:
    values = np.asarray([largest, -largest / 3, 0], np.float32)
    seen = Histogram.of(values)
    assert seen.total == 3
    assert same(Histogram.of(values[:1]) + Histogram.of(values[1:]), seen)


def test_the_size_does_not_grow() -> None:
    random = np.random.default_rng(1)
    seen = Histogram()
    for scale in range(20):
        seen += Histogram.of(random.normal(0, 2.0**scale, 100).astype(np.float32))
    assert seen.counts.shape == (2, BINS)
    assert seen.total == 2000


def test_the_typical_value_is_the_median_of_those_that_are_not_zero() -> None:
    values = np.concatenate([np.zeros(1000), np.random.default_rng(0).normal(size=999)])
    found = Histogram.of(values.astype(np.float32))
    expected = float(np.median(np.abs(values[1000:])))
    assert abs(found.typical - expected) <= found.width
    assert Histogram.of(np.zeros(3, np.float32)).typical == 0


def test_extremes_count_nothing_and_widen_the_range() -> None:
    batch = np.random.default_rng(0).normal(size=(4, 3, 5, 5)).astype(np.float32)
    counted = Histogram.of(batch)
    found = counted + Histogram.of_extremes(np.array([[-40, 50]], np.float32))
    assert (found.low, found.high) == (-40, 50)
    assert np.array_equal(found.counts, counted.counts)
    assert (found.exponent, found.total, found.typical) == (
        counted.exponent,
        counted.total,
        counted.typical,
    )
    batch[2, 0, 0, 0] = np.nan
    assert not (counted + Histogram.of_extremes(batch)).finite
    assert same(Histogram.of_extremes(batch[:0]), Histogram())


def test_one_value_in_a_few_is_counted_and_the_extremes_are_those_of_all() -> None:
    values = np.random.default_rng(0).normal(size=(3, 64, 56, 56)).astype(np.float32)
    whole, part = Histogram.of(values), Histogram.of(values, every=5)
    assert (part.low, part.high) == (whole.low, whole.high)
    assert part.total == -(-values.size // 5)
    assert part.typical == pytest.approx(whole.typical, rel=0.01)
    values[0, 0, 0, 1] = np.inf
    assert not Histogram.of(values, every=5).finite
