"""New numbers in an old report, where its marks are."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from resnet_convert.report.speed import replaced, speed
from resnet_serve.parity.latency import Latency, Ratio
from resnet_serve.passport import LatencyFacts, RemeasuredFacts, TimingFacts

PAGE = (
    "<h1>d passed, <!-- speed -->4273.1×<!-- end of speed --></h1>"
    "<!-- speed tile -->4273.1×<!-- end of speed tile -->"
    "<!-- speed text -->\n4273.1×\n<!-- end of speed text -->"
    "<!-- speed rows -->4273.1 ms<!-- end of speed rows --><p>the rest</p>"
)
TIMES = {
    "onnxruntime": TimingFacts(
        batch_size=1, median_ms=2.5, p95_ms=3.0, images_per_s=400.0, rounds=20
    )
}
AGAIN = RemeasuredFacts(at=datetime(2026, 11, 27, 1, 2, tzinfo=UTC), processor=r"A \1 & B")


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [
        (Ratio(2.31, 2.2, 2.4), "2.31× PyTorch at batch 1"),
        (Ratio(0.5, 0.45, 0.55), "0.50× PyTorch at batch 1 (slower)"),
        (Ratio(9.0, 1.0, 30.0), "speed-up not stated: host busy (the rounds differ too much)"),
    ],
)
def test_the_words(ratio: Ratio, shown: str) -> None:
    assert speed(ratio) == shown
    facts = LatencyFacts(times=TIMES, reference_on="CPU", share_of_integer_peak=None, speedup=ratio)
    page = replaced(PAGE, facts, AGAIN)
    assert shown in page
    assert "4273.1" not in page
    assert "2.50 ms" in page
    assert r"measured again on 2026-11-27 01:02 UTC (A \1 &amp; B)" in page
    assert "<p>the rest</p>" in page
    assert replaced(page, facts, AGAIN) == page


def test_without_a_ratio_it_says_why() -> None:
    facts = LatencyFacts(times=TIMES, reference_on="CPU", share_of_integer_peak=None, speedup=None)
    alone = RemeasuredFacts(at=AGAIN.at, processor="P", without_reference="no <weights>")
    page = replaced(PAGE, facts, alone)
    assert "speed-up not stated: no &lt;weights&gt;" in page


def test_a_page_without_marks_stays() -> None:
    facts = LatencyFacts(times={}, reference_on="CPU", share_of_integer_peak=None, speedup=None)
    assert replaced("<p>old</p>", facts, AGAIN) == "<p>old</p>"


def test_the_plot_is_drawn_again() -> None:
    facts = LatencyFacts(
        times=TIMES, reference_on="CPU", share_of_integer_peak=None, speedup=Ratio(2.3, 2.2, 2.4)
    )
    rounds = {"pytorch": Latency(1, (6.0, 6.2, 6.1)), "onnxruntime": Latency(1, (2.5, 2.6, 2.4))}
    page = replaced(PAGE, facts, AGAIN, rounds)
    assert "<figure" in page
    assert "PyTorch" in page
    assert "medians: PyTorch 6.1 ms, ONNX Runtime 2.5 ms" in page
    assert page.count("<svg") == 1
    assert replaced(page, facts, AGAIN, rounds).count("<svg") == 1
