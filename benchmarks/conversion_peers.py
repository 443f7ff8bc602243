"""Other ways to a faster network, beside `resnet-convert`: accuracy, speed and lines of code.

    python benchmarks/conversion_peers.py --task cifar10 --data shared/data/cifar10

ONNX Runtime's static quantization at its defaults, NNCF, Olive, torchao and torch.compile, each in
a virtual environment that this script makes in the user's cache, and INT8 of ours in both runtimes.
All get the same trained network, the same FP32 graph and the same calibration images. Accuracy is
of labelled test images; speed is of an untrained ResNet-50, one image at a time, every tool in turn
in each round. docs/peers.md is written from the results.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from networks import CIFAR10
from peers import environments, page
from peers.converted import SPEED, prepared
from peers.converter import CONVERTING
from peers.kept import Kept, Row
from recorded import RESULTS, record

from resnet_serve.errors import HostError
from resnet_serve.parity import pressure
from resnet_serve.parity.latency import ratio_of

EAGER = "eager"  # what the others are compared with: always measured
tell = partial(print, flush=True)


def measured(folders: Mapping[str, Path], kept: Kept, options: argparse.Namespace) -> None:
    """Convert with every tool, and measure the rounds that are missing; keep each at once."""
    for number in range(1, options.rounds + 1):
        for name in dict.fromkeys((EAGER, *options.converters)):
            tool = CONVERTING[name]
            failed = {row["converter"] for row in kept.rows("failed")}
            if name in failed or kept.rows("round", converter=name, round=number):
                continue
            try:
                if not environments.ready(tool):
                    tell(f"{tool.title}: installing its environment")
                environments.make(tool)
                row: Row = {"converter": name, "round": number, "pressed": pressure.lately()}
                found = tool.run(folders[SPEED], options.seconds)
                row |= {key: found[key] for key in ("median_ms", "convert_s")}
                if number == 1:
                    kept.add("accuracy", [{"converter": name, **tool.run(folders["task"], 0.2)}])
            except HostError as error:
                tell(str(error))
                kept.add("failed", [{"converter": name, "failed": str(error)}])
                continue
            kept.add("round", [row])
            tell(f"round {number}: {tool.title}: {row['median_ms']:.1f} ms")


def table(kept: Kept, task: str) -> list[Row]:
    """A row per tool: accuracy, points lost against PyTorch, milliseconds, and the speed-up."""
    times = {
        name: {row["round"]: row["median_ms"] for row in kept.rows("round", converter=name)}
        for name in CONVERTING
    }
    accuracy = {row["converter"]: row for row in kept.rows("accuracy")}
    eager = times[EAGER]
    rows = []
    for name, found in times.items():
        if not found or name not in accuracy:
            continue
        shared = sorted(set(found) & set(eager))
        ratio = ratio_of([eager[number] / found[number] for number in shared])
        correct = accuracy[name]
        percent = 100 * correct["correct"] / correct["images"]
        points = percent - 100 * accuracy[EAGER]["correct"] / accuracy[EAGER]["images"]
        rows.append(
            {
                "converter": name,
                "task": task,
                "images": correct["images"],
                "top1": round(percent, 2),
                "points": round(points, 2),
                "median_ms": round(float(np.median(list(found.values()))), 2),
                "speedup": round(ratio.median, 3),
                "low": round(ratio.low, 3),
                "high": round(ratio.high, 3),
                "rounds": len(shared),
                "convert_s": round(float(kept.rows("round", converter=name)[0]["convert_s"]), 1),
                "lines": CONVERTING[name].lines,
            }
        )
    return rows


def write(kept: Kept, task: str) -> None:
    """The results and the page."""
    rows = table(kept, task)
    summary: dict[str, Any] = {
        "what": f"converters: accuracy on {task}, one image of ResNet-50 against PyTorch eager",
        "tools": {
            name: {"title": tool.title, "requirements": list(tool.requirements)}
            for name, tool in CONVERTING.items()
        },
        "failed": {row["converter"]: row["failed"] for row in kept.rows("failed")},
        "pressed": [row["pressed"] for row in kept.rows("round")],
        "rows": rows,
    }
    for row in rows:
        tell(f"{row['converter']:<20} {row['top1']} % ({row['points']:+}) {row['speedup']}×")
    record("conversion-peers", rows, summary)
    page.write(RESULTS)


def main() -> None:
    """Install, convert, measure and write; or go on with what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--task", choices=("digits", "cifar10"), default="digits")
    parser.add_argument("--data", type=Path, default=CIFAR10, help="the folder of CIFAR-10")
    parser.add_argument("--images", type=int, default=10_000, help="of the test images, at most")
    parser.add_argument("--converters", nargs="+", choices=CONVERTING, default=list(CONVERTING))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each tool, in each round")
    parser.add_argument("--folder", type=Path, default=environments.folder() / "converted")
    parser.add_argument("--write", action="store_true", help="write what was measured, no more")
    options = parser.parse_args()
    # A short trial is not gone on with as if it were a whole run.
    kept = Kept(options.folder / f"{options.task}-{options.images}-{options.seconds:g}.jsonl")
    if not options.write:
        tell("preparing the networks, and INT8 of ours, unless they are there")
        task, speed = prepared(options.folder, options.task, options.data, options.images)
        measured({"task": task, SPEED: speed}, kept, options)
    write(kept, options.task)


if __name__ == "__main__":
    main()
