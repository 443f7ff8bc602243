"""The limit of the latency: what a user may type, and which level is the best within it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_tests import level

from resnet_serve.errors import UsageError
from resnet_serve.loadtest.slo import Slo


@pytest.mark.parametrize(
    ("text", "p99_ms"), [("50ms", 50), ("0.05s", 50), ("50 ms", 50), ("1s", 1000), ("800us", 0.8)]
)
def test_a_time_with_its_unit(text: str, p99_ms: float) -> None:
    assert Slo.parse(text).p99_ms == pytest.approx(p99_ms)


@pytest.mark.parametrize("text", ["", "50", "ms", "50min", "nanms", "5e1ms"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"cannot read .* with its unit: 50ms"):
        Slo.parse(text)


@pytest.mark.parametrize("text", ["-5ms", "0ms", "9999s"])
def test_a_limit_that_is_no_limit_is_refused_as_such(text: str) -> None:
    with pytest.raises(UsageError, match=f"a limit of {text} is not possible. .* above 0"):
        Slo.parse(text)


@given(st.floats(0.001, 1e6))
def test_what_it_prints_it_reads(p99_ms: float) -> None:
    written = f"{p99_ms:f}ms"
    assert Slo.parse(written).p99_ms == pytest.approx(p99_ms, rel=1e-3)


def test_the_best_level_is_the_fastest_that_keeps_it() -> None:
    levels = [level(1, 50, p99_ms=20), level(2, 90, p99_ms=50), level(4, 120, p99_ms=50.1)]
    slo = Slo(50)
    assert slo.best(levels) is levels[1]
    assert slo.sentence(levels) == (
        "within p99 ≤ 50 ms: 90.0 images/s at concurrency 2 (p99 50.0 ms)"
    )
    assert Slo(10).best(levels) is None
    assert Slo(10).sentence(levels) == (
        "p99 ≤ 10 ms was not kept: the lowest was 20.0 ms at concurrency 1"
    )
