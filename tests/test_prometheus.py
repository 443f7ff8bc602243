"""What is written in Prometheus' text format, and what a scrape of it gets."""

from __future__ import annotations

import math
import urllib.error
import urllib.request

import pytest
from prometheus_text import samples

from resnet_serve import prometheus
from resnet_serve.prometheus import Family, counter, gauge


def test_values_and_labels() -> None:
    text = prometheus.text(
        [
            gauge("age_seconds", "Since the start.", 1795777780.25),
            counter("rounds_total", "Rounds.", 10**15),
            gauge("agreement", "Of decisions.", 0.5, model='a"b\\c\nd', version="1"),
            Family("nothing", "gauge", "Without a value."),
            gauge("far", "Infinitely.", math.inf),
        ]
    )
    assert samples(text) == {
        "age_seconds": 1795777780.25,
        "rounds_total": 10**15,
        r'agreement{model="a\"b\\c\nd",version="1"}': 0.5,
        "far": math.inf,
    }
    assert "1e+" not in text
    assert "far +Inf\n" in text


def test_it_is_served_as_it_is_now() -> None:
    now = ["a 1\n"]
    port = prometheus.serve("127.0.0.1", 0, lambda: now[0])

    def scrape(path: str = "/metrics") -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
            assert response.headers["Content-Type"] == prometheus.CONTENT_TYPE
            return str(response.read().decode())

    assert scrape() == "a 1\n"
    now[0] = "a 2\n"
    assert scrape("/metrics?name=a") == "a 2\n"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        scrape("/secrets")
