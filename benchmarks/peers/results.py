"""What the rounds amount to: medians with their intervals, ratios to ours, and plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from peers import environments
from peers.kept import Kept, Row
from peers.peer import WORKLOADS
from peers.search import disturbed
from peers.servers import OURS, PEERS
from resnet_convert.report import svg
from resnet_serve.parity.latency import median_interval, ratio_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TRIED = ("configuration", "in_flight", "images_per_s", "p50_ms", "others")
_FAILED = ("configuration", "failed")
MEASURES = ("images_per_s", "cpu_ms", "client_cpu_ms", "pss_mib")


def table(kept: Kept) -> list[Row]:
    """A row per round, server and load, as it was measured."""
    left_out = {"kind", "latencies_ms"}
    return [
        {key: value for key, value in row.items() if key not in left_out}
        for row in kept.rows("round")
    ]


def summary(kept: Kept) -> dict[str, Any]:
    """The medians of each peer at its best for each load, and what it took to find that."""
    rows = kept.rows("round")
    counted = [row for row in rows if not disturbed(row)]
    present = [name for name in PEERS if any(row["peer"] == name for row in counted)]
    failed = {row["peer"]: row["failed"] for row in kept.rows("failed")}
    loads = sorted({int(row["in_flight"]) for row in counted})
    return {
        "what": "INT8 ResNet-50, one ONNX file, served by each peer at its own best",
        "rounds": max((int(row["round"]) for row in rows), default=0),
        "loads": len(rows),
        "loads_not_counted": len(rows) - len(counted),
        "never_counted": sorted(_servers(rows) - _servers(counted)),
        "peers": {name: _about(name, kept) for name in present},
        "failed": {
            name: failed.get(name, "left out of this run") for name in PEERS if name not in present
        },
        "best": [
            found
            for workload in WORKLOADS
            for in_flight in loads
            for found in _compared(counted, present, workload, in_flight)
        ],
    }


def _servers(rows: Sequence[Row]) -> set[tuple[str, str]]:
    """The peers and configurations of rows."""
    return {(row["peer"], row["configuration"]) for row in rows}


def _about(name: str, kept: Kept) -> Row:
    peer = PEERS[name]
    tried = kept.rows("search", peer=name)
    return {
        "title": peer.title,
        "requirements": list(peer.requirements),
        "lines": peer.lines(),
        "installed_mb": round(environments.size_mb(peer)),
        "candidates": [
            {key: row[key] for key in (_FAILED if "failed" in row else _TRIED)} for row in tried
        ],
    }


def _compared(
    rows: Sequence[Row], present: Sequence[str], workload: str, in_flight: int
) -> Iterator[Row]:
    """A row per peer for one load: the better of its servers, and the ratio of ours, over the same
    protocol, to it.
    """
    here = [row for row in rows if (row["workload"], row["in_flight"]) == (workload, in_flight)]
    for name in present:
        mine = OURS[PEERS[name].protocol]
        ours = {row["round"]: row["images_per_s"] for row in here if row["peer"] == mine}
        servers: dict[str, list[Row]] = {}
        for row in here:
            if row["peer"] == name:
                servers.setdefault(row["configuration"], []).append(row)
        if not servers:
            continue
        configuration = max(servers, key=lambda each: _median(servers[each], "images_per_s"))
        found = servers[configuration]
        shared = [row for row in found if row["round"] in ours]
        ratio = ratio_of([ours[row["round"]] / row["images_per_s"] for row in shared] or [np.nan])
        yield {
            "peer": name,
            "workload": workload,
            "in_flight": in_flight,
            "configuration": configuration,
            "rounds": len(found),
            **{measure: _median(found, measure) for measure in MEASURES},
            **_percentiles(found),
            "images_per_s_interval": median_interval([row["images_per_s"] for row in found]),
            "ours_over_it": None if name in OURS.values() or not shared else ratio.to_json(),
        }


def _percentiles(rows: Sequence[Row]) -> Row:
    """Of the latencies of all rounds together."""
    latencies = [each for row in rows for each in row["latencies_ms"]]
    return {f"p{share}_ms": round(float(np.percentile(latencies, share)), 3) for share in (50, 99)}


def _median(rows: Sequence[Row], measure: str) -> float:
    return round(float(np.median([row[measure] for row in rows])), 3)


@svg.figure((9.6, 4.6))
def plot(axes: Axes, found: Mapping[str, Any], workload: str) -> str:
    """Images per second of one workload: a group of bars per peer, one for each load."""
    rows = [row for row in found["best"] if row["workload"] == workload]
    names = list(dict.fromkeys(row["peer"] for row in rows))
    loads = sorted({row["in_flight"] for row in rows})
    shades = np.linspace(0.4, 1, len(loads))
    for row in rows:
        index = loads.index(row["in_flight"])
        place = names.index(row["peer"]) + 0.27 * (index - (len(loads) - 1) / 2)
        value, (low, high) = row["images_per_s"], row["images_per_s_interval"]
        color = svg.CONVERTED if row["peer"] in OURS.values() else svg.SOFT
        axes.barh(place, value, 0.25, color=color, alpha=shades[index])
        axes.plot([low, high], [place, place], color=svg.INK, linewidth=1)
        axes.annotate(f"{value:.1f} at {row['in_flight']}", (high, place), (4, 0), va="center",
                      fontsize=7, textcoords="offset points")  # fmt: skip
    axes.set_yticks(range(len(names)), [PEERS[name].title for name in names])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"{workload}: images per second with so many requests in flight")
    return f"Images per second of {len(names)} servers, {workload}"
