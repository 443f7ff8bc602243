"""The report's figures: one function per figure, numbers in, inline SVG out.

Each draws on the axes that `svg.figure` gives it and returns a sentence on what it shows: the title
for screen readers. Labels are next to what they name; there are no legends.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.parity.layers import Layer
from resnet_convert.quantization.mixed_precision import MixedPrecisionSearch
from resnet_convert.report import svg
from resnet_convert.report.svg import CONVERTED, INK, NOTABLE, RULE, SOFT
from resnet_serve.optional import optional
from resnet_serve.parity.latency import Latency
from resnet_serve.parity.numerics import EXACT_DB

if TYPE_CHECKING:
    import matplotlib
    from matplotlib.axes import Axes
else:
    matplotlib = optional("matplotlib", extra="convert")

SCATTER_POINTS = 3000
SCATTER_EXTREMES = 100  # of them, the largest errors: thinning keeps every outlier
WORST_LAYERS = 5
LABELS_AT = 1.03  # of the axes' width
LOG_FROM = 8  # times between the fastest and the slowest sample
# Inches. The first two are side by side; all are drawn at the page's scale.
SQUARE, BESIDE_SQUARE, FULL_WIDTH, BAND = (4.3, 3.9), (5.9, 3.9), (10.4, 3.1), (10.4, 2.1)

Logits = NDArray[np.float32]


def number(value: float) -> str:
    """Three significant digits, or all of an integer's; `∞`, `−∞` and `NaN` as such."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "−")


@svg.figure(SQUARE)
def logit_scatter(axes: Axes, reference: Logits, converted: Logits) -> str:
    """Every logit of the converted model over the reference's [N,classes], thinned to 3,000."""
    x, y = _finite(reference, converted)
    error = np.abs(y - x)
    worst = int(error.argmax())
    shown = thinned(error)
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    margin = 0.04 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color=SOFT, linewidth=0.8)
    axes.plot(x[shown], y[shown], "o", color=CONVERTED, markersize=3, alpha=0.35, markeredgewidth=0)
    axes.plot(x[worst], y[worst], "o", markersize=8, markerfacecolor="none", color=NOTABLE)
    right = x[worst] > (low + high) / 2
    above = right or y[worst] < low + 0.15 * (high - low)
    axes.annotate(
        f"largest |Δ| {number(error[worst])}",
        (x[worst], y[worst]),
        (-10 if right else 10, 8 if above else -12),
        textcoords="offset points",
        ha="right" if right else "left",
        color=NOTABLE,
    )
    axes.set(
        xlim=limits, ylim=limits, aspect="equal", xlabel="PyTorch logit", ylabel="converted logit"
    )
    return (
        f"Scatter of {len(shown):,} converted logits over PyTorch's: "
        f"they lie within {number(error[worst])} of the diagonal"
    )


def thinned(error: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Indices of at most 3,000 values: the largest errors, and a fixed sample of the others."""
    if len(error) <= SCATTER_POINTS:
        return np.arange(len(error))
    order = np.argsort(-error, kind="stable")
    others = np.random.default_rng(0).choice(
        order[SCATTER_EXTREMES:], SCATTER_POINTS - SCATTER_EXTREMES, replace=False
    )
    return np.sort(np.concatenate([order[:SCATTER_EXTREMES], others]))


def _finite(reference: Logits, converted: Logits) -> tuple[NDArray[Any], NDArray[Any]]:
    x, y = reference.ravel().astype(np.float64), converted.ravel().astype(np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    return (x[finite], y[finite]) if finite.any() else (np.zeros(1), np.zeros(1))


@svg.figure(BESIDE_SQUARE)
def error_histogram(axes: Axes, reference: Logits, converted: Logits) -> str:
    """The distribution of converted − reference over all logits, with a logarithmic count."""
    x, y = _finite(reference, converted)
    error = y - x
    largest = float(np.abs(error).max()) or 1e-9
    within = float(np.percentile(np.abs(error), 99))
    counts, edges = np.histogram(error, bins=61, range=(-largest, largest))
    axes.stairs(counts, edges, fill=True, color=CONVERTED, alpha=0.85, baseline=0.5)
    for side in (-within, within):
        axes.axvline(side, color=NOTABLE, linewidth=1, dashes=(4, 3))
    axes.annotate(
        f"99 % within ±{number(within)}",
        (within, 1),
        (4, 2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="center",
        color=NOTABLE,
    )
    axes.set(yscale="log", xlabel="converted − PyTorch logit", ylabel="logits", ylim=(0.5, None))
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda v, _: f"{v:,.0f}"))
    axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.grid(visible=False, axis="x")
    return (
        f"Histogram of {len(error):,} logit errors: mean {number(error.mean())}, "
        f"99 % within ±{number(within)}, largest {number(largest)}"
    )


@svg.figure(FULL_WIDTH)
def layer_response(axes: Axes, layers: Sequence[Layer]) -> str:
    """Activation std per layer in the network's order, as in figure 7 of He et al. 2016."""
    values = [layer.std for layer in layers]
    line = [i for i, layer in enumerate(layers) if not _projection(layer)]
    side = [i for i, layer in enumerate(layers) if _projection(layer)]
    axes.plot([i + 1 for i in line], [values[i] for i in line], "o-", color=CONVERTED, ms=4, lw=1.4)
    axes.plot([i + 1 for i in side], [values[i] for i in side], "D", color=SOFT, ms=4.5, mfc="none")
    if side:
        axes.annotate(
            "projection shortcuts",
            (side[-1] + 1, values[side[-1]]),
            (0, -14),
            textcoords="offset points",
            ha="center",
            color=SOFT,
        )
    axes.set(ylim=(0, 1.08 * max(values) or 1), ylabel="std of the response")
    _layer_axis(axes, layers)
    return (
        f"Standard deviation of the response of {len(layers)} layers, "
        f"from {number(min(values))} to {number(max(values))}"
    )


@svg.figure(FULL_WIDTH)
def layer_sqnr(axes: Axes, layers: Sequence[Layer]) -> str:
    """SQNR of every layer's activation in dB; the worst five that are not exact are named."""
    values = np.clip([layer.sqnr_db for layer in layers], 0, EXACT_DB)
    inexact = [i for i in range(len(layers)) if values[i] < EXACT_DB]
    order = sorted(inexact, key=lambda i: values[i])[:WORST_LAYERS]
    axes.vlines(range(1, len(layers) + 1), 0, values, color=RULE, linewidth=1.2)
    axes.plot(range(1, len(layers) + 1), values, "o", color=CONVERTED, ms=4)
    top = 1.15 * float(values.max()) or 1.0
    points = {i: ((i + 0.7) / (len(layers) + 0.4), values[i] / top) for i in order}
    for index, height in _leaders(points):
        axes.plot(index + 1, values[index], "o", color=NOTABLE, ms=6)
        axes.annotate(
            f"{layers[index].name}  {values[index]:.1f} dB",
            (index + 1, values[index]),
            (LABELS_AT, height),
            textcoords="axes fraction",
            va="center",
            color=NOTABLE,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": NOTABLE,
                "linewidth": 0.6,
                "alpha": 0.7,
                "relpos": (0, 0.5),
            },
        )
    axes.set(ylim=(0, top), ylabel="SQNR (dB)")
    _layer_axis(axes, layers)
    named = ", ".join(f"{layers[i].name} {values[i]:.1f} dB" for i in order)
    return f"Signal-to-quantization-noise ratio of {len(layers)} layers; the worst are {named}"


def _leaders(points: Mapping[int, tuple[float, float]]) -> list[tuple[int, float]]:
    """A height for each point's label in the right margin, so that the lines to them are shortest.

    The shortest lines do not cross. Points and heights are in fractions of the axes.
    """
    heights = np.linspace(0.94, 0.22, WORST_LAYERS)[: len(points)]
    aspect = FULL_WIDTH[1] / FULL_WIDTH[0]

    def length(arrangement: tuple[int, ...]) -> float:
        return sum(
            float(np.hypot(LABELS_AT - points[i][0], aspect * (height - points[i][1])))
            for i, height in zip(arrangement, heights, strict=True)
        )

    best = min(itertools.permutations(points), key=length)
    return list(zip(best, heights.tolist(), strict=True))


def _projection(layer: Layer) -> bool:
    return ".downsample" in layer.name


def _layer_axis(axes: Axes, layers: Sequence[Layer]) -> None:
    """Layer numbers below, the stages of the network above, separated by thin lines."""
    axes.set(xlabel="layer, in the network's order", xlim=(0.3, len(layers) + 0.7))
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes.grid(visible=False, axis="x")
    start = 0
    for stage, members in itertools.groupby(layers, key=lambda layer: layer.name.split(".")[0]):
        count = len(list(members))
        end = start + count
        # The names of stem and classifier are outside, where they do not overlap with a stage's.
        side = "right" if start == 0 else "left" if end == len(layers) else "center"
        place = {"right": end + 0.2, "left": end - 0.2, "center": start + (count + 1) / 2}[side]
        axes.text(place, 1.04, stage, transform=axes.get_xaxis_transform(), ha=side, color=SOFT)
        if end < len(layers):
            axes.axvline(end + 0.5, color=RULE, linewidth=0.8, dashes=(2, 3))
        start = end


@svg.figure(BAND)
def latency_distributions(axes: Axes, latencies: Mapping[str, Latency]) -> str:
    """Every sample of every runtime, with quartiles and median; the keys are the names to show."""
    for row, (name, latency) in enumerate(latencies.items()):
        samples = np.asarray(latency.samples_ms)
        colour = SOFT if row == 0 else CONVERTED
        low, high = np.percentile(samples, [25, 75])
        axes.plot(samples, np.full(len(samples), row), "|", color=colour, ms=13, alpha=0.35)
        axes.plot([low, high], [row, row], color=colour, lw=6, solid_capstyle="butt", alpha=0.6)
        axes.plot(latency.median_ms, row, "o", ms=7, color=colour, mec=INK, mew=0.8)
        axes.annotate(
            f"{name}, median {number(latency.median_ms)} ms",
            (latency.median_ms, row),
            (0, 12),
            textcoords="offset points",
            ha="center",
            color=colour,
        )
    axes.set(ylim=(len(latencies) - 0.5, -0.75), yticks=[], xlabel="ms per batch")
    every = np.concatenate([latency.samples_ms for latency in latencies.values()])
    if every.max() > LOG_FROM * every.min():
        axes.set(xscale="log", xlabel="ms per batch, logarithmic")
        axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda v, _: f"{v:,g}"))
    else:
        axes.set(xlim=(0, None))
    axes.spines["left"].set_visible(False)
    medians = ", ".join(f"{name} {number(times.median_ms)} ms" for name, times in latencies.items())
    return f"Distribution of latencies per runtime; medians: {medians}"


@svg.figure(BAND)
def mixed_precision(axes: Axes, search: MixedPrecisionSearch) -> str:
    """Agreement over price of every attempt; a line joins those that no other beats."""
    rows, frontier = search.rows, search.frontier
    axes.plot(
        [row.price for row in frontier],
        [100 * row.judged.agreement for row in frontier],
        color=SOFT,
        linewidth=1,
        drawstyle="steps-post",
    )
    for row in rows:
        selected = row is search.chosen
        at = (row.price, 100 * row.judged.agreement)
        axes.plot(*at, "o", ms=8 if selected else 5, color=NOTABLE if selected else CONVERTED)
        axes.annotate(
            f"{len(row.kept)} kept" + (", selected" if selected else ""),
            at,
            (6, 6),
            textcoords="offset points",
            color=NOTABLE if selected else SOFT,
        )
    timed = all(row.judged.latency_ratio is not None for row in rows)
    axes.set(
        xlabel="latency, relative to INT8 everywhere" if timed else "layers that stay floating",
        ylabel="decisions that agree, %",
    )
    axes.margins(0.08, 0.25)
    points = ", ".join(f"{len(r.kept)} kept {100 * r.judged.agreement:.2f} %" for r in rows)
    return f"Agreement over cost of every attempt; {points}"
