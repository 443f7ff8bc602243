"""Ranges by every method: within what was seen, and where a brute-force search puts them."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from resnet_convert.quantization.clipping import METHODS, _divergence, limits
from resnet_convert.quantization.histogram import Histogram
from resnet_serve.errors import UsageError

VALUES = arrays.arrays(
    np.float32,
    st.integers(1, 60),
    elements=st.floats(-100, 100, width=32, allow_subnormal=False) | st.just(0.0),
)
GRIDS = pytest.mark.parametrize("symmetric", [False, True], ids=["u8", "s8"])
EACH = pytest.mark.parametrize("method", METHODS)


def normal(count: int = 100_000, *, relu: bool = False) -> NDArray[np.float32]:
    values = np.random.default_rng(0).normal(size=count).astype(np.float32)
    return np.maximum(values, 0) if relu else values


def quantized(values: NDArray[np.float32], low: float, high: float, *, symmetric: bool) -> float:
    """The mean squared error of really quantizing values to a range."""
    x = values.astype(np.float64)
    if symmetric:
        scale = max(-low, high) / 127
        steps = np.clip(np.rint(x / scale), -127, 127)
        return float(np.square(x - steps * scale).mean())
    scale = (high - low) / 255
    zero = np.rint(-low / scale)
    steps = np.clip(np.rint(x / scale) + zero, 0, 255) - zero
    return float(np.square(x - steps * scale).mean())


@EACH
@GRIDS
@settings(max_examples=15)
@given(values=VALUES)
def test_ranges_contain_zero_and_lie_within_what_was_seen(
    method: str, symmetric: bool, values: NDArray[np.float32]
) -> None:
    low, high = limits(method, Histogram.of(values), symmetric=symmetric)
    assert min(0, values.min()) <= low <= 0 <= high <= max(0, values.max())
    assert low < high or not values.any(), "a tensor with values keeps a range"


@GRIDS
@given(values=VALUES)
def test_minmax_cuts_nothing(symmetric: bool, values: NDArray[np.float32]) -> None:
    low, high = limits("minmax", Histogram.of(values), symmetric=symmetric)
    assert (low, high) == (min(0, values.min()), max(0, values.max()))


@GRIDS
@given(values=VALUES)
def test_percentiles_are_monotone(symmetric: bool, values: NDArray[np.float32]) -> None:
    seen = Histogram.of(values)
    ranges = [limits(f"percentile-{p}", seen, symmetric=symmetric) for p in (99.9, 99.99, 99.999)]
    ranges.append(limits("minmax", seen, symmetric=symmetric))
    for (low, high), (wider_low, wider_high) in pairwise(ranges):
        assert wider_low <= low
        assert high <= wider_high


@GRIDS
@EACH
@pytest.mark.parametrize("relu", [False, True])
def test_one_outlier_in_a_million_is_cut_by_all_but_minmax(
    method: str, symmetric: bool, relu: bool
) -> None:
    seen = Histogram.of(np.append(normal(999_999, relu=relu), np.float32(100)))
    _, high = limits(method, seen, symmetric=symmetric)
    assert high == 100 if method == "minmax" else high < 80


@pytest.mark.parametrize("kept", [99.9, 99.99, 99.999])
@GRIDS
def test_percentiles_are_numpys_to_a_bin(kept: float, symmetric: bool) -> None:
    values = normal(1_000_000)
    seen = Histogram.of(values)
    low, high = limits(f"percentile-{kept}", seen, symmetric=symmetric)
    if symmetric:
        expected = np.percentile(np.abs(values), kept)
        np.testing.assert_allclose([-low, high], expected, atol=2 * seen.width)
    else:
        ends = np.percentile(values, [(100 - kept) / 2, 100 - (100 - kept) / 2])
        np.testing.assert_allclose([low, high], ends, atol=2 * seen.width)


@EACH
@GRIDS
def test_zeros_change_nothing(method: str, symmetric: bool) -> None:
    values = normal(relu=True)
    values = values[values > 0]
    padded = np.append(values, np.zeros(10 * values.size, np.float32))
    found = [limits(method, Histogram.of(each), symmetric=symmetric) for each in (values, padded)]
    assert found[0] == found[1]
    assert found[0][0] == 0


@EACH
@GRIDS
def test_zeros_alone_have_no_range(method: str, symmetric: bool) -> None:
    assert limits(method, Histogram.of(np.zeros(5, np.float32)), symmetric=symmetric) == (0, 0)


@GRIDS
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("outlier", [5.0, 20.0, 100.0])
def test_mse_loses_least_when_the_values_are_really_quantized(
    symmetric: bool, relu: bool, outlier: float
) -> None:
    values = np.append(normal(20_000, relu=relu), np.float32(outlier))
    seen = Histogram.of(values)

    def error(low: float, high: float) -> float:
        return quantized(values, low, high, symmetric=symmetric)

    found = error(*limits("mse", seen, symmetric=symmetric))
    searched = min(
        error(max(-cut, values.min()), min(cut, values.max()))
        for cut in outlier * 2.0 ** (-np.arange(0, 80) / 8)
    )
    assert found <= 1.03 * searched
    for method in METHODS:
        assert found <= 1.03 * error(*limits(method, seen, symmetric=symmetric))


def naive_divergence(amplitudes: NDArray[np.int64], end: int, levels: int) -> float:
    """KL(P ‖ Q) as in NVIDIA's pytorch-quantization, with ONNX Runtime's 10⁻⁴ in empty bins."""
    level = np.digitize(np.arange(end), np.linspace(0, end, levels + 1)) - 1
    reference = amplitudes[:end].astype(float)
    reference[-1] += amplitudes[end:].sum()
    sums, sizes = Counter(), Counter()
    for index in range(end):
        sums[level[index]] += int(amplitudes[index])
        sizes[level[index]] += int(reference[index] > 0)
    spread = np.zeros(end)
    for index in range(end):
        if reference[index] > 0:
            spread[index] = sums[level[index]] / sizes[level[index]]
    p, q = (np.where(each > 0, each, 1e-4) for each in (reference, spread))
    return float(sum(p / p.sum() * np.log((p / p.sum()) / (q / q.sum()))))


@given(
    amplitudes=arrays.arrays(np.int64, 300, elements=st.integers(0, 50)),
    end=st.integers(128, 300),
)
def test_the_divergence_is_the_naive_one(amplitudes: NDArray[np.int64], end: int) -> None:
    if amplitudes[:end].any():
        found, expected = _divergence(amplitudes, end, 128), naive_divergence(amplitudes, end, 128)
        assert found == pytest.approx(expected, abs=1e-9)


def test_entropy_keeps_what_fits_the_grid_and_cuts_a_thin_tail() -> None:
    uniform = np.linspace(0, 1, 50_000, dtype=np.float32)
    assert limits("entropy", Histogram.of(uniform), symmetric=False)[1] == 1
    tail = np.append(normal(relu=True), np.linspace(5, 50, 20, dtype=np.float32))
    assert 3 < limits("entropy", Histogram.of(tail), symmetric=False)[1] < 25


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown calibration method 'max'\. Use minmax, entropy"):
        limits("max", Histogram(), symmetric=False)
