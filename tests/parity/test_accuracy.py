"""Paired decisions: against SciPy, against published examples, and by brute force."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from resnet_serve.parity.accuracy import (
    decide,
    margin_interval,
    mcnemar_exact,
    newcombe_interval,
    wilson_interval,
)

COUNTS = st.tuples(*[st.integers(0, 60)] * 4).filter(sum)  # both, gained, lost, neither


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_equals_the_binomial_test(gained: int, lost: int) -> None:
    expected = binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0
    assert mcnemar_exact(gained, lost) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_very_many_disagreements() -> None:
    """An untrained network disagrees on most of 50,000 validation images."""
    started = time.process_time()
    assert mcnemar_exact(25_000, 25_000) == 1
    assert mcnemar_exact(24_800, 25_200) == pytest.approx(
        binomtest(24_800, 50_000, 0.5).pvalue, rel=1e-6
    )
    assert mcnemar_exact(0, 50_000) == 0
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_published_examples(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy(counts: tuple[int, int]) -> None:
    successes, n = counts
    expected = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_of_nothing_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("both", "gained", "lost", "neither", "low", "high"),
    [
        # Bentur et al. 2009 in Fagerland, Lydersen & Laake 2014, table II (φ corrected to 0).
        (1, 1, 7, 12, -0.507, -0.026),
        # Cavo et al. 2012 in the same authors' book, chapter 8 (φ above 0).
        (59, 6, 16, 80, -0.1186, -0.0046),
        # Newcombe 1998, Statistics in Medicine 17:2635-2650, table II, method 10 (φ below 0).
        (36, 12, 2, 0, 0.0569, 0.3404),
    ],
)
def test_newcombe_published_examples(
    both: int, gained: int, lost: int, neither: int, low: float, high: float
) -> None:
    n = both + gained + lost + neither
    digits = 5e-4 if n == 21 else 5e-5
    assert newcombe_interval(both, gained, lost, n) == pytest.approx((low, high), abs=digits)


@given(COUNTS)
def test_newcombe_contains_the_difference_and_stays_in_range(
    counts: tuple[int, int, int, int],
) -> None:
    both, gained, lost, neither = counts
    n = sum(counts)
    low, high = newcombe_interval(both, gained, lost, n)
    assert -1 - 1e-9 <= low <= (gained - lost) / n <= high <= 1 + 1e-9
    assert neither == n - both - gained - lost


@given(COUNTS)
def test_newcombe_turns_around_with_gains_and_losses(counts: tuple[int, int, int, int]) -> None:
    both, gained, lost, _ = counts
    low, high = newcombe_interval(both, gained, lost, sum(counts))
    swapped = newcombe_interval(both, lost, gained, sum(counts))
    assert swapped == pytest.approx((-high, -low), abs=1e-12)


@given(COUNTS)
def test_newcombe_does_not_care_what_success_is_called(counts: tuple[int, int, int, int]) -> None:
    """Counting errors instead of hits turns the interval around."""
    both, gained, lost, neither = counts
    low, high = newcombe_interval(both, gained, lost, sum(counts))
    errors = newcombe_interval(neither, lost, gained, sum(counts))
    assert errors == pytest.approx((-high, -low), abs=1e-9)


@given(COUNTS, st.integers(2, 20))
def test_newcombe_shrinks_with_more_images(counts: tuple[int, int, int, int], times: int) -> None:
    low, high = newcombe_interval(*counts[:3], sum(counts))
    more = [times * count for count in counts]
    narrow_low, narrow_high = newcombe_interval(*more[:3], sum(more))
    assert narrow_high - narrow_low < high - low


@settings(max_examples=10)
@given(st.floats(0.7, 0.95), st.floats(0.02, 0.2), st.integers(0, 1000))
def test_newcombe_covers_the_true_difference(right: float, differ: float, seed: int) -> None:
    """By simulation: of 95 % intervals about 95 % hold the truth, here at least 90 %."""
    shares = np.array([right - differ, differ * 0.6, differ * 0.4, 1 - right])
    draws = np.random.default_rng(seed).multinomial(200, shares / shares.sum(), size=400)
    truth = (shares[1] - shares[2]) / shares.sum()
    covered = [
        low <= truth <= high
        for low, high in (newcombe_interval(*map(int, row[:3]), 200) for row in draws)
    ]
    assert np.mean(covered) > 0.9


def logits(*rows: list[float]) -> np.ndarray:
    return np.asarray(rows, np.float32)


def test_agreement_without_labels() -> None:
    reference = logits([3, 1, 0], [0, 3, 1], [0, 1, 3], [3, 0, 2])
    converted = logits([3, 1, 0], [3, 1, 0], [0, 1, 3], [2, 0, 3])
    found = decide(reference, converted)
    assert found.images == 4
    assert found.top1_agreement == 0.5
    assert (found.labelled, found.reference_top1, found.mcnemar_p) == (False, None, None)


def test_changed_images_begin_with_the_references_surest() -> None:
    reference = logits([1.0, 0.9], [9, 0], [5, 0], [2, 0], [5, 0])
    converted = logits([0, 1], [0, 1], [0, 1], [1, 0], [0, 1])
    assert decide(reference, converted).changed == (1, 2, 4, 0)


def test_top5_asks_for_the_references_decision_among_the_converted_five() -> None:
    reference = np.eye(7, dtype=np.float32)[[0, 0, 0]]
    converted = logits(
        [6, 5, 4, 3, 2, 1, 0],  # first
        [3, 7, 6, 5, 4, 2, 1],  # fifth
        [2, 7, 6, 5, 4, 3, 1],  # sixth
    )
    found = decide(reference, converted)
    assert found.top5_agreement == pytest.approx(2 / 3)
    assert found.top1_agreement == pytest.approx(1 / 3)


@pytest.mark.parametrize("classes", [1, 2, 4, 5])
def test_up_to_five_classes_are_always_among_the_five(classes: int) -> None:
    random = np.random.default_rng(0)
    found = decide(*random.normal(size=(2, 20, classes)).astype(np.float32))
    assert found.top5_agreement == 1


def test_paired_accuracy() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    reference = np.eye(2, dtype=np.float32)[[0, 0, 0, 1, 1, 1, 1, 0, 0, 1]]  # wrong: 3, 7, 8
    converted = np.eye(2, dtype=np.float32)[[0, 0, 1, 1, 1, 1, 1, 1, 1, 1]]  # wrong: 2, 3
    found = decide(reference, converted, labels)
    assert (found.gained, found.lost) == (2, 1)
    assert found.reference_top1 == pytest.approx(70)
    assert found.converted_top1 == pytest.approx(80)
    assert found.difference_points == pytest.approx(10)
    assert found.mcnemar_p == 1
    low, high = newcombe_interval(6, 2, 1, 10)
    assert found.interval_points == pytest.approx((100 * low, 100 * high))
    assert found.changed == (2, 7, 8)
    assert json.loads(json.dumps(found.to_json()))["labelled"] is True


@given(st.integers(1, 30), st.integers(2, 8), st.integers(0, 10_000))
def test_the_numbers_belong_together(images: int, classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    reference, converted = random.normal(size=(2, images, classes)).astype(np.float32)
    labels = random.integers(0, classes, images)
    found = decide(reference, converted, labels)
    assert len(found.changed) == round(images * (1 - found.top1_agreement))
    assert found.top1_agreement <= found.top5_agreement
    assert found.converted_top1 - found.reference_top1 == pytest.approx(found.difference_points)
    low, high = found.interval_points
    assert low <= found.difference_points + 1e-9
    assert high >= found.difference_points - 1e-9


def test_changed_decisions_lose_what_the_reference_gave_for_them() -> None:
    reference = np.log([[0.9, 0.1, 1e-9], [0.4, 0.39, 0.21], [0.2, 0.7, 0.1], [0.2, 0.7, 0.1]])
    converted = np.eye(3)[[1, 1, 1, 0]]
    found = decide(reference.astype(np.float32), converted.astype(np.float32))
    lost = 100 * (0.8 + 0.01 + 0.0 + 0.5) / 4
    assert found.margin_points == pytest.approx(lost, abs=1e-4)
    given = decide(np.exp(reference).astype(np.float32), converted, probabilities=True)
    assert given.margin_points == pytest.approx(lost, abs=1e-4)


def test_without_changed_decisions_nothing_is_lost() -> None:
    logits = np.eye(5, dtype=np.float32)
    found = decide(logits, logits)
    assert found.margin_points == 0
    assert found.margin_interval is not None
    assert found.margin_interval[0] == 0
    assert found.margin_interval[1] > 25


def test_the_bounds_of_the_margin_hold_as_often_as_they_say() -> None:
    """Mostly zeros and a few numbers up to one, as changed decisions are."""
    generator = np.random.default_rng(0)
    n, draws = 400, 3000
    lost = generator.uniform(0, 1, (draws, n)) * (generator.uniform(size=(draws, n)) < 0.04)
    bounds = np.array([margin_interval(float(total), n) for total in lost.sum(axis=1)])
    assert (bounds[:, 0] <= 0.02).mean() > 0.94
    assert (bounds[:, 1] >= 0.02).mean() > 0.94


def test_a_margin_that_is_no_number_counts_whole() -> None:
    reference = np.array([[np.nan, 1.0], [1.0, 0.0]], np.float32)
    assert decide(reference, np.array([[0, 1], [1, 0]], np.float32)).margin_points == 50


def test_the_reference_has_an_exact_interval() -> None:
    labels = np.arange(10) % 5
    logits = np.eye(5, dtype=np.float32)[np.where(np.arange(10) < 7, labels, (labels + 1) % 5)]
    found = decide(logits, logits, labels)
    expected = binomtest(7, 10).proportion_ci(0.95, method="exact")
    assert found.reference_interval == pytest.approx(
        (100 * expected.low, 100 * expected.high), abs=1e-6
    )
    assert found.lost_interval is not None
    assert found.lost_interval[0] <= 0 <= found.lost_interval[1]
