"""The plan for its reader: a table, and files of CSV, JSON and a plot (SVG)."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from rich.table import Table

from resnet_serve import console
from resnet_serve.loadtest.results import Written, write_files
from resnet_serve.planning.plan import Plan
from resnet_serve.planning.plot import plot
from resnet_serve.planning.search import Fleet
from resnet_serve.planning.simulation import Outcome

COLUMNS = {
    "machine": "the type of machine",
    "configuration": "the version of the model and how it is served",
    "rate_per_s": "requests per second of one replica",
    "replicas": "how many replicas that is at the planned rate; not always a whole number",
    "requests": "requests that were simulated and counted",
    "p50_ms": "median latency",
    "p99_ms": "99th percentile of the latency",
    "p99_low_ms": "its 95 % interval over the replications: the lower end",
    "p99_high_ms": "the upper end, which is compared with the limit",
    "rejected": "share of the requests that were rejected",
    "busy": "share of the time in which the instances of the busiest model computed",
    "batch": "mean batch of the last model",
    "grows": "whether a queue without a bound grows for ever",
    "met": "whether the limits were kept",
}


def table(plan: Plan) -> Table:
    """Two rows a machine: as many replicas as keep the limits, and one more."""
    drawn = console.table(
        f"{plan.name}: {plan.demand}",
        caption="p99 with its 95 % interval over replications; one less: once it was noticed",
    )
    drawn.add_column("machine")
    priced = any(each.cost_per_million is not None for each in plan.fleets)
    headings = ["replicas", "p50\nms", "p99\nms", "busy", "head\nroom"]
    headings += ["per million\nimages"] if priced else []
    for heading in (*headings, "one less:\np99 ms", "\nrejected"):
        drawn.add_column(heading, justify="right")
    for each in plan.fleets:
        cost = each.cost_per_million
        drawn.add_row(
            each.machine.name,
            str(each.replicas),
            f"{each.outcome.p50_ms.value:.1f}",
            _interval(each.outcome),
            f"{each.outcome.busy.value:.0%}",
            f"{each.head_room:.0%}",
            *([f"{cost:.3g}" if cost is not None else ""] if priced else []),
            *_without_one(each),
        )
    return drawn


def lines(plan: Plan) -> list[str]:
    """What the table has no room for: configurations, and the seconds after a failure."""
    found = [
        f"{each.machine.name}: {each.candidate.title} (measured: {each.candidate.source})"
        for each in plan.curves
    ]
    best = plan.best
    share = f"{1 / best.replicas:.0%}" if best.replicas > 1 else "all"
    others = "; the others do as before" if best.replicas > 1 else ""
    found.append(
        f"when one of {best.replicas} fails, {share} of the requests fail for "
        f"{plan.demand.notice_s:g} s, until it is noticed: {best.lost:,.0f} requests{others}"
    )
    return [*found, *plan.left_out]


def to_csv(plan: Plan) -> str:
    """One row a simulated rate of each configuration, in the columns of `COLUMNS`."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for curve in plan.curves:
        for each in curve.points():
            writer.writerow(
                {
                    "machine": curve.machine.name,
                    "configuration": curve.candidate.title,
                    "rate_per_s": f"{each.rate_per_s:.4f}",
                    "replicas": f"{plan.demand.rate_per_s / each.rate_per_s:.4f}",
                    "requests": each.requests,
                    "p50_ms": f"{each.p50_ms.value:.4f}",
                    "p99_ms": f"{each.p99_ms.value:.4f}",
                    "p99_low_ms": f"{each.p99_ms.low:.4f}",
                    "p99_high_ms": f"{each.p99_ms.high:.4f}",
                    "rejected": f"{each.rejected.value:.6f}",
                    "busy": f"{each.busy.value:.4f}",
                    "batch": f"{each.batch:.4f}",
                    "grows": each.grows,
                    "met": plan.demand.met(each),
                }
            )
    return file.getvalue()


def write(plan: Plan, directory: Path) -> Written:
    """Write `plan-<model>.csv`, `.json` and `.svg`, each file atomically; raises `HostError`."""
    facts = json.dumps({"schema_version": console.JSON_VERSION, **plan.to_json()}, indent=2)
    return write_files(directory, f"plan-{plan.name}", to_csv(plan), facts, lambda: plot(plan))


def _interval(outcome: Outcome) -> str:
    p99 = outcome.p99_ms
    return f"{p99.value:.1f} [{p99.low:.1f}, {p99.high:.1f}]"


def _without_one(fleet: Fleet) -> tuple[str, str]:
    outcome = fleet.without_one
    if outcome is None:
        return "none left", ""
    p99 = "grows" if outcome.grows else f"{outcome.p99_ms.value:.1f}"
    return p99, f"{outcome.rejected.value:.1%}"
