"""The plot of load tests: its lines, the limit, earlier runs, and the same bytes again."""

from __future__ import annotations

import re
from dataclasses import replace

from load_tests import level, load_test

from resnet_serve import figures
from resnet_serve.loadtest.history import Earlier
from resnet_serve.loadtest.plot import plot
from resnet_serve.loadtest.run import LoadTest
from resnet_serve.loadtest.slo import Slo


def named(test: LoadTest, model: str) -> LoadTest:
    measured = test.measurement
    signature = replace(measured.signature, model=model)
    return replace(test, measurement=replace(measured, signature=signature))


def labels(text: str) -> list[str]:
    return re.findall(r"<text [^>]*>([^<]+)</text>", text)


def test_the_plot_is_the_same_for_the_same_figures() -> None:
    one, two = load_test(level(1), level(2, 150)), load_test(level(1), level(2, 151))
    assert plot([one]) == plot([one])
    assert plot([one]) != plot([two])


def test_each_model_has_a_colour_and_both_percentiles() -> None:
    first, second = load_test(level(1), level(2, 150)), named(load_test(level(1, 80)), "other")
    text = plot([first, second])
    assert {"toy p50", "toy p99", "other p50", "other p99"} <= set(labels(text))
    for colour in figures.SERIES[:2]:
        assert colour in text


def test_the_limit_and_the_kind_of_numbers() -> None:
    test = replace(load_test(level(None, 39, rate_per_s=40.0)), slo=Slo(50))
    text = plot([test])
    assert "p99 ≤ 50 ms" in labels(text)
    assert "40" in labels(text)
    assert "requests per second" in text
    assert figures.NOTABLE in text
    assert "concurrencies" in plot([load_test(level(1))])


def test_earlier_runs_are_named_by_version_and_day() -> None:
    test = load_test(level(1), level(2, 150))
    before = replace(Earlier.of(test), version="2", taken="2026-01-31T10:00:00+00:00")
    text = plot([test], [before])
    assert "version 2, 2026-01-31 p99" in labels(text)
    assert not [each for each in labels(plot([test])) if each.startswith("version")]


def test_more_models_than_colours() -> None:
    many = [named(load_test(level(1)), f"net{number}") for number in range(8)]
    assert "net7 p99" in labels(plot(many))
