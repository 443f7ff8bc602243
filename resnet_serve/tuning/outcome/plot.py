"""The Pareto plot: throughput against p99 latency, a colour per version, the frontier as a line."""

from __future__ import annotations

import io
from collections.abc import Mapping

from resnet_serve.optional import optional
from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.outcome import frontier
from resnet_serve.tuning.trials import State, Trial

matplotlib = optional("matplotlib", extra="plot")
matplotlib_figure = optional("matplotlib.figure", extra="plot")


def plot(
    name: str,
    trials: tuple[Trial, ...],
    goal: Goal,
    titles: Mapping[int, str],
    *,
    default: Trial,
    winner: Trial | None,
) -> str:
    """Every point of every measured trial as SVG text; `titles` names the versions.

    The same trials give the same bytes. Raises `HostError` without matplotlib.
    """
    figure = matplotlib_figure.Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    measured = [trial for trial in trials if trial.state is not State.EQUAL]
    for colour, (version, title) in enumerate(titles.items()):
        points = [each.point for each in frontier.reached(measured, {version})]
        axes.scatter(
            [each.throughput_per_s for each in points],
            [each.p99_ms for each in points],
            s=14,
            alpha=0.6,
            color=f"C{colour}",
            label=f"version {version}: {title}",
        )
    best = frontier.frontier(frontier.reached(measured, titles))
    axes.plot(
        [each.point.throughput_per_s for each in best],
        [each.point.p99_ms for each in best],
        color="0.2",
        linewidth=1,
        label="frontier",
    )
    axes.axhline(goal.p99_ms, color="0.3", linestyle=":", label=f"p99 ≤ {goal.p99_ms:g} ms")
    for trial, marker, label in ((default, "s", "default"), (winner, "*", "chosen")):
        point = None if trial is None else goal.best(trial.points)
        if point is not None:
            at = [point.throughput_per_s], [point.p99_ms]
            axes.plot(*at, marker, color="k", fillstyle="none", markersize=11, label=label)
    axes.set(xlabel="throughput, images/s", ylabel="p99 latency, ms", xlim=(0, None))
    axes.set_yscale("log")
    axes.set_title(f"{name}: {len(measured)} configurations, each under several loads", fontsize=9)
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    file = io.StringIO()
    # A fixed salt and no date make the bytes reproducible.
    with matplotlib.rc_context({"svg.hashsalt": "resnet-serve"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
