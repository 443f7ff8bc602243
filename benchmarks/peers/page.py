"""docs/peers.md: the page of the comparison, written from the newest results.

What a peer does better is written with the peer; where it was faster than ours is read from the
numbers. Nothing here has a number of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from peers import converters_page
from peers.peer import JPEG, TENSOR
from peers.servers import MISSING, OURS, PEERS
from resnet_serve import durable

PAGE = Path(__file__).parents[2] / "docs" / "peers.md"
CERTAIN_ROUNDS = 3
SERVING, CONVERSION = "serving-peers", "conversion-peers"
_WORKLOADS = {
    TENSOR: "One UINT8 tensor (150 kB) to logits",
    JPEG: "One JPEG (about 80 kB) to its five best classes",
}


def write(results: Path) -> None:
    """Write the page from the newest results in a folder; nothing without those of servers."""
    if newest(results, SERVING) is not None:
        durable.write(PAGE, text(results))


def newest(results: Path, name: str) -> Path | None:
    """The newest JSON of a benchmark."""
    return max(results.glob(f"{name}-*.json"), default=None)


def text(results: Path) -> str:
    """The page of the newest results in a folder."""
    serving, conversion = newest(results, SERVING), newest(results, CONVERSION)
    lines: list[str] = []
    if serving is not None:
        lines += _lines(json.loads(serving.read_text(encoding="utf-8")), serving.stem)
    if conversion is not None:
        found = json.loads(conversion.read_text(encoding="utf-8"))
        lines += converters_page.lines(found, conversion.stem)
    return "\n".join(lines) + "\n"


def _lines(found: Mapping[str, Any], stem: str) -> Iterator[str]:
    host = found["host"]
    yield "# Other servers, measured"
    yield ""
    yield "Written by `benchmarks/serving_peers.py` from its results of"
    yield f"{found['taken'][:10]}: {found['rounds']} rounds on {host['cores']} cores of"
    yield f"{host['processor']} ({', '.join(host['instruction_sets'])}), which the client shares,"
    yield "before the servers, as if it had its own."
    yield "Every server runs the same INT8 ResNet-50 from one ONNX file, untrained: this is speed"
    yield "only. Each peer is at its own best: its runtime, workers, threads and batching were"
    yield "searched with the same small budget. The best with one request in flight, the best with"
    yield "sixteen and those that came near were all measured, and the best one is shown for each"
    yield "load. resnet-serve has one configuration, as it was converted, and is asked over gRPC"
    yield "and over HTTP: each peer is compared with it over the peer's own protocol, because a"
    yield "client that speaks gRPC takes more of the cores. All servers run at once and take turns"
    yield "of a second, paused but for their own, as a host that serves others too changes its"
    yield "speed within seconds. Figures are medians of the rounds, ratios those of turns of the"
    yield "same round; compare ratios, not figures of one machine."
    rounds = [row["rounds"] for row in found["best"]]
    counted = str(min(rounds)) if min(rounds) == max(rounds) else f"{min(rounds)} to {max(rounds)}"
    yield f"Of each figure here {counted} rounds were counted. No ratio is stated where they differ"
    yield "too much."
    if min(rounds) < CERTAIN_ROUNDS:
        yield "A figure of fewer than three is an indication: it is not known how far it varies."
    if found["loads_not_counted"]:
        yield f"{found['loads_not_counted']} of {found['loads']} loads were left out, because other"
        yield "tasks of the host used its cores meanwhile."
    for name, configuration in found["never_counted"]:
        yield f"So {PEERS[name].title} is shown without {configuration}, which was among the best"
        yield "of its search for one of the loads: it may do better than is shown."
    for workload, title in _WORKLOADS.items():
        rows = [row for row in found["best"] if row["workload"] == workload]
        if not rows:
            continue
        yield from ("", f"## {title}", "")
        yield from _throughput(rows, found)
        yield from ("", f"![images per second](../benchmarks/results/{stem}-{workload}.svg)", "")
        yield from _costs(rows, found)
        yield ""
        yield "The client takes its CPU time from the same cores: more for gRPC, as PyTriton and"
        yield "MLServer are asked, than for HTTP, which it writes to a socket itself."
    yield from _faster(found)
    yield from _better(found)
    yield from _configurations(found)
    yield from _absent(found)
    yield ""
    yield f"All rows: [{stem}.csv](../benchmarks/results/{stem}.csv),"
    yield f"[{stem}.json](../benchmarks/results/{stem}.json)."


def _loads(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    return sorted({row["in_flight"] for row in rows})


def _named(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, Mapping[str, Any]]]:
    by_peer: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        by_peer.setdefault(row["peer"], {})[row["in_flight"]] = row
    return by_peer


def _throughput(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> Iterator[str]:
    loads = _loads(rows)
    yield "Images per second with their 95 % interval, and how many times as many resnet-serve did"
    yield "over the same protocol:"
    yield ""
    yield "| server | " + " | ".join(f"{each} in flight" for each in loads) + " |"
    yield "|---|" + "---|" * len(loads)
    for name, row in _named(rows).items():
        cells = [_rate(row[each]) if each in row else "–" for each in loads]
        yield f"| {found['peers'][name]['title']} | " + " | ".join(cells) + " |"


def _rate(row: Mapping[str, Any]) -> str:
    low, high = row["images_per_s_interval"]
    text = f"**{row['images_per_s']:.1f}** ({low:.1f}–{high:.1f})"
    ratio = row["ours_over_it"]
    if ratio is None:
        return text
    return text + (" not stated" if ratio["median"] is None else f" {ratio['median']:.2f}×")


def _costs(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> Iterator[str]:
    loads = _loads(rows)
    least, most = loads[0], loads[-1]
    yield (
        f"| server | p50 ms at {least} | p99 ms at {least} | p50 ms at {most} | p99 ms at {most} "
        f"| CPU ms per image at {most} | the client's | memory, MiB | lines of user code |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, row in _named(rows).items():
        alone, busy = row.get(least), row.get(most)
        if alone is None or busy is None:
            continue
        cells = [alone["p50_ms"], alone["p99_ms"], busy["p50_ms"], busy["p99_ms"], busy["cpu_ms"]]
        numbers = " | ".join(f"{cell:.1f}" for cell in cells)
        about, client = found["peers"][name], busy["client_cpu_ms"]
        yield (
            f"| {about['title']} | {numbers} | {client:.2f} | {busy['pss_mib']:.0f} "
            f"| {about['lines']} |"
        )


def _faster(found: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Where another server was faster", "")
    some = False
    for row in found["best"]:
        how = _how_faster(row)
        if how:
            some = True
            title = found["peers"][row["peer"]]["title"]
            yield f"- {title}, {row['workload']}, {row['in_flight']} in flight:"
            yield f"  {how}"
    if not some:
        yield "In none of these loads."


def _how_faster(row: Mapping[str, Any]) -> str:
    """How much faster than ours it was; empty where it was not, as far as the rounds tell."""
    ratio = row["ours_over_it"]
    if ratio is None or (ratio["low"] if ratio["median"] is None else ratio["median"]) >= 1:
        return ""
    if ratio["median"] is None:
        least, most = 1 / ratio["high"], 1 / ratio["low"]
        return f"{least:.2f}× to {most:.2f}× as many images as resnet-serve (95 % interval)"
    certain = ratio["high"] < 1 and row["rounds"] >= CERTAIN_ROUNDS
    doubt = "" if certain else ", not with certainty"
    return f"{1 / ratio['median']:.2f}× as many images as resnet-serve{doubt}"


def _better(found: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## What each does better", "")
    for name in found["peers"]:
        if name not in OURS.values():
            peer = PEERS[name]
            yield f"- **{peer.title}** ({peer.note.rstrip('.')}): {peer.better}"


def _configurations(found: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## The configurations that were tried", "")
    yield "Images per second of the tensor workload, a few seconds each:"
    yield ""
    yield "| server | configuration | 1 in flight | 16 in flight |"
    yield "|---|---|---|---|"
    for about in found["peers"].values():
        tried: dict[str, dict[int, str]] = {}
        for row in about["candidates"]:
            cells = tried.setdefault(row["configuration"], {})
            if "failed" in row:
                cells.update({1: "failed", 16: "failed"})
            else:
                cells[row["in_flight"]] = f"{row['images_per_s']:.1f}"
        for name, cells in tried.items():
            yield f"| {about['title']} | {name} | {cells.get(1, '–')} | {cells.get(16, '–')} |"


def _absent(found: Mapping[str, Any]) -> Iterator[str]:
    failed = found["failed"].items()
    absent = [(PEERS[name].title, " ".join(why.split())[:200]) for name, why in failed]
    yield from ("", "## Not measured", "")
    for title, why in [*MISSING.items(), *absent]:
        yield f"- {title}: {why}"
