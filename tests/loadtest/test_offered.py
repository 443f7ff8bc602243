"""What a user may type as levels, and what perf_analyzer is asked for."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.errors import UsageError
from resnet_serve.loadtest.offered import (
    MAX_CONCURRENCY,
    MAX_RATE_PER_S,
    Offered,
    parse_concurrencies,
    parse_rates,
)

concurrencies = st.integers(1, MAX_CONCURRENCY)


@given(st.sets(concurrencies, min_size=1, max_size=20))
def test_a_list_is_sorted_and_each_once(numbers: set[int]) -> None:
    listed = list(numbers)
    assert parse_concurrencies(",".join(map(str, listed + listed))) == tuple(sorted(numbers))


@given(concurrencies, concurrencies, concurrencies)
def test_a_range_includes_its_ends(start: int, length: int, step: int) -> None:
    end = min(start + length, MAX_CONCURRENCY)
    found = parse_concurrencies(f"{start}:{end}:{step}")
    assert found[0] == start
    assert end - step < found[-1] <= end
    assert all(b - a == step for a, b in itertools.pairwise(found))
    assert parse_concurrencies(f"{start}:{end}") == tuple(range(start, end + 1))


@given(st.text(alphabet="0123456789:,-. ax", max_size=12) | st.text())
def test_any_text_is_parsed_or_refused_in_one_line(text: str) -> None:
    try:
        found = parse_concurrencies(text)
    except UsageError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert list(found) == sorted(set(found))
        assert 1 <= found[0] <= found[-1] <= MAX_CONCURRENCY


@pytest.mark.parametrize(
    "text",
    ["", "0", "8:1", "1:8:0", "1:2:3:4", "1,2:4", "-1", "1:", "1.5", "1:99999999999999", "2000"],
)
def test_refused(text: str) -> None:
    with pytest.raises(UsageError, match="1:8:2"):
        parse_concurrencies(text)


@given(st.lists(st.floats(0.01, MAX_RATE_PER_S), min_size=1, max_size=8))
def test_rates_are_sorted_and_each_once(rates: list[float]) -> None:
    assert parse_rates(",".join(map(repr, rates))) == tuple(sorted(set(rates)))


@pytest.mark.parametrize("text", ["", "0", "-1", "fast", "1:8", "40,", "nan", "inf", "1e9"])
def test_a_refused_rate(text: str) -> None:
    with pytest.raises(UsageError, match="20,40,80"):
        parse_rates(text)


def test_an_open_loop_waits_for_no_response() -> None:
    words = Offered(rate_per_s=40).arguments()
    assert words[words.index("--request-rate-range") + 1] == "40"
    assert words[words.index("--request-distribution") + 1] == "poisson"
    assert "-a" in words
    assert Offered(3).arguments() == ["--concurrency-range", "3"]
    assert str(Offered(3)) == "concurrency 3"
    assert str(Offered(rate_per_s=40)) == "40 requests/s"
