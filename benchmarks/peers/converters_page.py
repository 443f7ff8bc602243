"""The part of docs/peers.md on converters, written from the results of `conversion_peers.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from peers.converter import CONVERTING
from resnet_serve.parity.latency import PRESSED


def lines(found: Mapping[str, Any], stem: str) -> Iterator[str]:
    """A table, what each does better, and what was not measured."""
    host, rows = found["host"], found["rows"]
    yield from ("", "# Other converters, measured", "")
    yield f"Written by `benchmarks/conversion_peers.py` from its results of {found['taken'][:10]},"
    yield f"on {host['cores']} cores of {host['processor']}"
    yield f"({', '.join(host['instruction_sets'])}). Accuracy: {rows[0]['images']} test images of"
    yield f"{rows[0]['task']}, a trained ResNet-20. Speed: an untrained ResNet-50, one image of"
    yield "224 × 224 pixels, against PyTorch FP32 eager in the same rounds. All tools had the same"
    yield "weights and calibration images, and the ONNX tools the same FP32 graph, whose batch"
    yield "normalisation `resnet-convert` had folded. Every tool was called as its documentation"
    yield "begins."
    yield f"At least {min(row['rounds'] for row in rows)} rounds were counted of each tool, with"
    yield "the 95 % interval over them; tools whose intervals overlap may be equally fast. Of fewer"
    yield "than three rounds it is not known how far a figure varies."
    busy = sum(each is not None and each > PRESSED for each in found["pressed"])
    if busy:
        yield f"Before {busy} of {len(found['pressed'])} measurements other tasks of the host used"
        yield "its cores: the times are no result."
    yield ""
    yield "| tool | top-1 % | points | ms per image | against eager | conversion, s | lines |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        yield (
            f"| {found['tools'][row['converter']]['title']} | {row['top1']:.2f} "
            f"| {row['points']:+.2f} | {row['median_ms']:.1f} "
            f"| {row['speedup']:.2f}× ({row['low']:.2f}–{row['high']:.2f}) "
            f"| {row['convert_s']:.1f} | {row['lines']} |"
        )
    yield from ("", "What each does better:", "")
    for row in rows:
        better = CONVERTING[row["converter"]].better
        if better:
            yield f"- **{CONVERTING[row['converter']].title}**: {better}"
    if found["failed"]:
        yield from ("", "Not measured:", "")
        for why in found["failed"].values():
            yield f"- {' '.join(why.split())[:200]}"
    yield ""
    yield f"All rows: [{stem}.csv](../benchmarks/results/{stem}.csv),"
    yield f"[{stem}.json](../benchmarks/results/{stem}.json)."
