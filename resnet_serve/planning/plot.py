"""The plot of a plan: p99 over the offered rate, as many replicas as planned and one less.

Of each machine the fewest replicas that keep the limits are a line with its 95 % interval; the
cheapest fleet has a second line for one replica less, as after a failure.
"""

from __future__ import annotations

import math
from typing import Any

from resnet_serve import figures
from resnet_serve.planning.plan import Plan
from resnet_serve.planning.search import Curve, Fleet

_ABOVE = 3.0  # times the limit, where the axis ends


def plot(plan: Plan) -> str:
    """The plot as SVG text; the same plan gives the same bytes.

    Raises `HostError` without matplotlib.
    """
    return figures.file("plan", (7, 4.5), lambda axes: _paint(axes, plan))


def _paint(axes: Any, plan: Plan) -> None:
    demand = plan.demand
    of_machine = {curve.machine.name: curve for curve in plan.curves}
    first: dict[str, Fleet] = {}
    for each in plan.fleets:
        first.setdefault(each.machine.name, each)
    for colour, each in zip(figures.SERIES * len(first), first.values(), strict=False):
        cost = each.cost_per_million
        price = "" if cost is None else f", {cost:.3g} per million images"
        label = f"{each.replicas} × {each.machine.name}{price}"
        _line(axes, of_machine[each.machine.name], each.replicas, color=colour, label=label)
    best = plan.best
    if best.replicas > 1:
        curve, label = of_machine[best.machine.name], "one of them less"
        _line(axes, curve, best.replicas - 1, color=figures.SOFT, label=label, linestyle="--")
    axes.axvline(demand.rate_per_s, color=figures.RULE, linewidth=1.5)
    figures.limit(axes, demand.p99_ms, f"p99 ≤ {demand.p99_ms:g} ms")
    axes.annotate(
        f"planned: {demand.rate_per_s:g}/s",
        (demand.rate_per_s, 0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(4, 5),
        textcoords="offset points",
        fontsize=9,
        color=figures.SOFT,
    )
    axes.set(xlabel="offered, requests/s", ylabel="p99 latency, ms")
    axes.set_xlim(0, None)
    axes.set_ylim(0, _ABOVE * demand.p99_ms)
    axes.set_title(f"{plan.name}: {demand}, simulated from measured times")
    axes.legend(loc="upper left")


def _line(axes: Any, curve: Curve, replicas: int, *, linestyle: str = "-", **drawn: Any) -> None:
    points = [each for each in curve.points() if not math.isnan(each.p99_ms.value)]
    rates = [each.rate_per_s * replicas for each in points]
    axes.plot(rates, [each.p99_ms.value for each in points], linestyle=linestyle, **drawn)
    axes.fill_between(
        rates,
        [each.p99_ms.low for each in points],
        [each.p99_ms.high for each in points],
        color=drawn["color"],
        alpha=0.15,
        linewidth=0,
    )
