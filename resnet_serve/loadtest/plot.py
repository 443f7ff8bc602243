"""The plot of load tests: latency over throughput, a colour per model, in the report's style.

The limit is a line; earlier runs of a single model are thin and grey behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnet_serve import figures
from resnet_serve.loadtest.history import Earlier
from resnet_serve.loadtest.run import LoadTest

_PERCENTILES = {"p50_ms": "-", "p99_ms": "--"}


def plot(tests: Sequence[LoadTest], earlier: Sequence[Earlier] = ()) -> str:
    """p50 and p99 in milliseconds, as SVG text; `earlier` are runs of the only model.

    The same results give the same bytes. Raises `HostError` without matplotlib.
    """
    return figures.file("loadtest", (7, 4.5), lambda axes: _paint(axes, tests, earlier))


def _paint(axes: Any, tests: Sequence[LoadTest], earlier: Sequence[Earlier]) -> None:
    for age, run in enumerate(earlier):
        _lines(axes, run.levels, run.title, figures.SOFT, alpha=0.6 - 0.15 * age, linewidth=0.9)
    for number, test in enumerate(tests):
        colour = figures.SERIES[number % len(figures.SERIES)]
        _lines(axes, test.levels, test.model, colour, marker="o", markersize=4)
        for level in test.levels:
            at = (level.throughput_per_s, level.p50_ms)
            said = level.concurrency if level.rate_per_s is None else f"{level.rate_per_s:g}"
            axes.annotate(
                str(said),
                at,
                (0, 5),
                textcoords="offset points",
                fontsize=8,
                color=figures.SOFT,
                ha="center",
            )
    for slo in dict.fromkeys(test.slo for test in tests if test.slo is not None):
        figures.limit(axes, slo.p99_ms, f"p99 ≤ {slo}")
    axes.set(xlabel="throughput, images/s", ylabel="latency, ms", xlim=(0, None), ylim=(0, None))
    axes.set_title(_title(tests))
    axes.legend()


def _lines(axes: Any, levels: Sequence[Any], name: str, colour: str, **drawn: Any) -> None:
    throughput = [level.throughput_per_s for level in levels]
    for percentile, style in _PERCENTILES.items():
        latency = [getattr(level, percentile) for level in levels]
        label = f"{name} {percentile.removesuffix('_ms')}"
        axes.plot(throughput, latency, linestyle=style, color=colour, label=label, **drawn)


def _title(tests: Sequence[LoadTest]) -> str:
    by_rate = any(level.rate_per_s is not None for test in tests for level in test.levels)
    kind = "requests per second" if by_rate else "concurrencies"
    busy = next((test.busy for test in tests if test.busy is not None), None)
    said = f"The numbers at the points are {kind}"
    return said if busy is None else f"{said}; {busy}"
