"""Distances between logits: the formulas, and what must never pass for close."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from resnet_serve.parity.numerics import EXACT_DB, Comparison, compare, decibels, worst

LOGITS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(2, 5)),  # one number has no direction
    elements=st.floats(-100, 100, width=32),
)


@given(LOGITS, st.integers(0, 1000))
def test_equals_the_formulas(a: np.ndarray, seed: int) -> None:
    b = a + np.random.default_rng(seed).normal(0, 1, a.shape).astype(np.float32)
    found = compare(a, b)
    x, y = a.astype(float), b.astype(float)
    assert found.images == len(a)
    assert found.max_abs == np.abs(x - y).max()
    if np.abs(x).max() > 0:
        assert found.relative == pytest.approx(np.abs(x - y).max() / np.abs(x).max())
        noise = ((x - y) ** 2).sum()
        expected = 10 * math.log10((x**2).sum() / noise) if noise else EXACT_DB
        assert found.sqnr_db == pytest.approx(min(EXACT_DB, max(-EXACT_DB, expected)), abs=1e-9)
    cosines = [
        float(p @ q / (np.linalg.norm(p) * np.linalg.norm(q)))
        for p, q in zip(x, y, strict=True)
        if np.linalg.norm(p) * np.linalg.norm(q) > 1e-300
    ]
    if len(cosines) == len(a):
        assert found.cosine == pytest.approx(min(cosines), abs=1e-12)
        assert cosines[found.worst] == pytest.approx(min(cosines), abs=1e-12)


@given(LOGITS)
def test_identical_logits_are_exact(a: np.ndarray) -> None:
    found = compare(a, a.copy())
    assert (found.max_abs, found.relative, found.sqnr_db) == (0, 0, EXACT_DB)
    assert found.cosine == pytest.approx(1, abs=1e-12)


def test_the_worst_image_is_named() -> None:
    a = np.eye(4, dtype=np.float32)
    b = a.copy()
    b[2] = [0, 1, 0.5, 0]
    found = compare(a, b)
    assert found.worst == 2
    assert found.cosine == pytest.approx(0.5 / math.sqrt(1.25))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sides", ["reference", "converted", "both"])
def test_what_is_not_finite_is_infinitely_far(bad: float, sides: str) -> None:
    """Two NaNs are not equal networks: nothing was compared."""
    a = np.ones((3, 4), np.float32)
    b = np.ones((3, 4), np.float32)
    if sides in ("reference", "both"):
        a[1, 2] = bad
    if sides in ("converted", "both"):
        b[1, 2] = bad
    found = compare(a, b)
    assert (found.max_abs, found.relative, found.cosine) == (math.inf, math.inf, -1)
    assert (found.sqnr_db, found.worst) == (-math.inf, 1)
    assert not found.cosine >= -1 + 1e-9


def test_zero_logits_agree_with_zero_only() -> None:
    zero, one = np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32)
    assert compare(zero, zero).cosine == 1
    assert compare(zero, one).cosine == 0
    assert compare(one, zero).cosine == 0
    assert compare(zero, one).sqnr_db == -EXACT_DB


def test_the_cosine_ignores_a_scale_and_the_sqnr_does_not() -> None:
    a = np.random.default_rng(0).normal(size=(4, 10)).astype(np.float32)
    found = compare(a, 3 * a)
    assert found.cosine == pytest.approx(1)
    assert found.sqnr_db == pytest.approx(-20 * math.log10(2), abs=1e-5)


def test_other_shapes_are_flattened_and_different_ones_refused() -> None:
    a = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    assert compare(a, a + 1) == compare(a.reshape(2, 12), a.reshape(2, 12) + 1)
    with pytest.raises(ValueError, match="shapes differ"):
        compare(a, a[:1])


@pytest.mark.parametrize(
    ("signal", "noise", "expected"),
    [
        (100, 1, 20),
        (1, 100, -20),
        (1, 0, EXACT_DB),
        (0, 0, EXACT_DB),
        (0, 1, -EXACT_DB),
        (1, 1e-300, EXACT_DB),
        (1e-320, 1e300, -EXACT_DB),
        (1, math.nan, -math.inf),
        (math.nan, 1, -math.inf),
        (1, math.inf, -math.inf),
        (math.inf, math.inf, -math.inf),
    ],
)
def test_decibels(signal: float, noise: float, expected: float) -> None:
    assert decibels(signal, noise) == pytest.approx(expected)


def test_to_json_is_plain_data() -> None:
    a = np.ones((2, 2), np.float32)
    assert json.loads(json.dumps(compare(a, a).to_json()))["images"] == 2


def outliers(images: int, every: int) -> tuple[np.ndarray, np.ndarray]:
    a = np.ones((images, 4), np.float32)
    b = a.copy()
    b[::every] = [1, 0, 0, 0]  # a cosine of one half
    return a, b


@pytest.mark.parametrize("images", [100, 1000, 100_000])
def test_a_share_of_outliers_means_the_same_for_any_number_of_images(images: int) -> None:
    rare = compare(*outliers(images, 100))
    assert (rare.cosine, rare.cosine_low) == (pytest.approx(0.5), pytest.approx(1))
    common = compare(*outliers(images, 10))
    assert common.cosine_low == pytest.approx(0.5)
    assert common.shown_share == 0.95


def test_few_images_bound_the_quantile_by_the_smallest_and_say_so() -> None:
    found = compare(*outliers(16, 16))
    assert found.cosine_low == found.cosine == pytest.approx(0.5)
    assert found.cosine_high == pytest.approx(1)  # one of 16 may well be beyond the quantile
    assert found.shown_share == pytest.approx(0.829, abs=1e-3)


def test_the_scale_is_what_all_outputs_grew_by() -> None:
    a = np.random.default_rng(0).normal(size=(50, 10)).astype(np.float32)
    assert compare(a, 3 * a).scale == pytest.approx(3)
    assert compare(np.zeros_like(a), a).scale is None


def test_the_worst_of_outputs_keeps_its_bounds() -> None:
    a = np.random.default_rng(0).normal(size=(50, 10)).astype(np.float32)
    each = [compare(a, a + np.float32(0.1)), compare(a, -2 * a)]
    assert worst(each).cosine_low == each[1].cosine_low == pytest.approx(-1)
    assert worst(each).scale == pytest.approx(-2)


def test_the_mean_of_the_outputs_says_how_much_they_depend_on_the_image() -> None:
    """Batch by batch as at once, and None for one image."""
    outputs = np.random.default_rng(3).normal(5, 1, (64, 10)).astype(np.float32)
    mean = np.broadcast_to(outputs.mean(axis=0, dtype=np.float64), outputs.shape)
    expected = compare(outputs, mean.astype(np.float32)).sqnr_db
    comparison = Comparison("features")
    for at in range(0, 64, 8):
        comparison.add(outputs[at : at + 8], outputs[at : at + 8])
    found = comparison.result()
    assert found.mean_db == pytest.approx(expected, abs=1e-3)
    assert found.steadiest == "features"
    assert compare(outputs[:1], outputs[:1]).mean_db is None
