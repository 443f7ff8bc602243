"""The reports of the real perf_analyzer 2.51.0, recorded from `toy` and `toy_image`, read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_serve.errors import ResnetServeError
from resnet_serve.loadtest.perf_report import last_words, read_level

RECORDED = Path(__file__).parent / "perf_analyzer"


def recorded(name: str) -> tuple[str, str]:
    return (RECORDED / f"{name}.csv").read_text(), (RECORDED / f"{name}.txt").read_text()


def test_reads_a_tensor_model() -> None:
    level = read_level(*recorded("tensor"))
    assert (level.concurrency, level.requests) == (4, 6055)
    assert level.throughput_per_s == 1668.57
    assert level.window_throughputs_per_s == (1583.22, 1581.54, 1840.53)
    assert (level.p50_ms, level.p90_ms, level.p95_ms, level.p99_ms) == (2.157, 3.443, 4.09, 7.195)
    assert (level.mean_ms, level.queue_ms) == (2.384, 0.595)
    assert level.compute_ms == pytest.approx(0.028 + 0.882 + 0.219)
    assert level.spread == pytest.approx((1840.53 - 1581.54) / 1668.43, rel=1e-4)


def test_an_ensembles_queue_is_not_booked_as_network() -> None:
    # The CSV says queue 2 µs, network 10,895 µs; the report says queue 8,776 µs.
    level = read_level(*recorded("ensemble"))
    assert level.queue_ms == 8.776
    assert level.compute_ms == pytest.approx(5.981)
    assert level.client_network_ms == pytest.approx(16.896 - 8.776 - 5.981)


@pytest.mark.parametrize("name", ["tensor", "ensemble"])
def test_the_shares_add_up_to_the_mean(name: str) -> None:
    level = read_level(*recorded(name))
    shares = level.client_network_ms + level.queue_ms + level.compute_ms
    assert shares == pytest.approx(level.mean_ms)


def test_only_the_last_three_windows_count() -> None:
    table, said = recorded("tensor")
    extra = said.replace(
        "  Pass [1]", "  Pass [0] throughput: 1 infer/sec. Avg latency: 1\n  Pass [1]"
    )
    assert read_level(table, extra) == read_level(table, said)


@pytest.mark.parametrize(
    ("table", "said", "missing"),
    [
        ("", "", "0 rows"),
        ("Concurrency\n4\n", "", "Inferences/Second"),
        (recorded("tensor")[0], "", "Request count"),
        (recorded("tensor")[0] * 2, recorded("tensor")[1], "rows"),
        (recorded("tensor")[0].replace("1668.57", "fast"), recorded("tensor")[1], "fast"),
    ],
)
def test_a_report_it_cannot_read_is_refused(table: str, said: str, missing: str) -> None:
    with pytest.raises(ResnetServeError, match=missing):
        read_level(table, said)


@given(st.integers(0, 400), st.integers(0, 1600))
def test_a_report_cut_anywhere_is_read_or_refused(table_end: int, said_end: int) -> None:
    table, said = recorded("tensor")
    try:
        assert read_level(table[:table_end], said[:said_end]).concurrency == 4
    except ResnetServeError as error:
        assert "\n" not in str(error)


@given(st.text(), st.text())
def test_any_text_is_read_or_refused(table: str, said: str) -> None:
    with pytest.raises(ResnetServeError):
        read_level(table, said)


@pytest.mark.parametrize(
    ("complained", "reason"),
    [
        (
            "error: failed to get model metadata: Request for unknown model: 'x' is not found\n\n",
            "failed to get model metadata: Request for unknown model: 'x' is not found",
        ),
        (
            "Failed to maintain requested inference load. Worker thread(s) failed to generate "
            "concurrent requests.\nThread [0] had error: [request id: <id_unknown>] inference "
            "request batch-size must be <= 8 for 'toy'\n\n",
            "inference request batch-size must be <= 8 for 'toy'",
        ),
        ("No valid requests recorded within time interval.\n", "No valid requests recorded within"),
        ("", ""),
    ],
)
def test_last_words(complained: str, reason: str) -> None:
    assert last_words(complained).startswith(reason)
    assert bool(last_words(complained)) == bool(reason)
