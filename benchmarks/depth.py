"""What a conversion costs by depth, ResNet-20 to 1202: seconds by stage, peak memory, ONNX size.

    python benchmarks/depth.py

Each case runs in its own process, so that its peak memory can be measured. A ResNet-20 is
converted first and not timed: the first trace of a process takes seconds at any depth, which would
hide how the rest grows. The weights are random, with BatchNorm statistics from noise; INT8 is
calibrated on 32 real digits, and parity is over 32 others. The goal: a layer of ResNet-1202 costs
at most 1.5 times one of ResNet-110. CPU seconds are recorded too, because elapsed time is longer
on a busy host.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recorded import record

from resnet_convert.report import svg
from resnet_convert.stage_log import StageName

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from resnet_convert.stage_log import StageLog

NETWORKS = ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet1202")
PRECISIONS = ("fp32", "int8")
STAGES = ("trace", "fold", "pixels", "calibrate", "quantize", "parity")
COMPARED = ("resnet110", "resnet1202")
GOAL = 1.5
IMAGES = 32
TASK = "digits"
Row = dict[str, Any]


def main() -> None:
    """Measure every network in both precisions, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3, help="of each case but the deepest")
    parser.add_argument("--case", nargs=2, metavar=("ARCH", "PRECISION"), help="one; prints JSON")
    options = parser.parse_args()
    if options.case:
        print(json.dumps(converted(*options.case)))
        return
    rows = [
        shown(median([in_a_process(arch, precision) for _ in range(times)]))
        for arch in NETWORKS
        for precision in PRECISIONS
        for times in (1 if arch == NETWORKS[-1] else options.repeats,)
    ]
    ratios = {precision: growth(rows, precision) for precision in PRECISIONS}
    for precision, found in ratios.items():
        print(
            f"{precision}: a layer of {COMPARED[1]} takes {found['total']:.2f}× one of "
            f"{COMPARED[0]} (CPU seconds {found['cpu']:.2f}×; goal: at most {GOAL})"
        )
    summary = {
        "what": "cost of a conversion by depth, untrained CIFAR ResNets at 32 px",
        "time_per_layer_ratio": ratios,
        "compared": COMPARED,
        "goal": GOAL,
    }
    record("depth", rows, summary, {"time": times_by_depth(rows), "memory": memory(rows)})


def in_a_process(arch: str, precision: str) -> Row:
    """The row of one case, measured in a process of its own."""
    command = [sys.executable, str(Path(__file__)), "--case", arch, precision]
    # A waiting thread sleeps, so that CPU seconds are work.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def converted(arch: str, precision: str) -> Row:
    """One conversion in this process: its seconds by stage, and what came out."""
    from resnet_convert.stage_log import Silent, StageLog

    through(NETWORKS[0], precision, StageLog(Silent()))
    log = StageLog(Silent())
    made = through(arch, precision, log)
    seconds = {stage.name: round(stage.seconds, 3) for stage in log.stages}
    total = sum(seconds[name] for name in STAGES if name in seconds)
    return {
        "network": arch,
        "precision": precision,
        "layers": made["layers"],
        **{f"{name}_s": seconds.get(name, 0.0) for name in STAGES},
        "total_s": round(total, 3),
        "cpu_s": round(made.pop("cpu_s"), 3),
        "ms_per_layer": round(1000 * total / made["layers"], 2),
        # Linux counts in KiB.
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        **made,
    }


def through(arch: str, precision: str, log: StageLog) -> Row:
    """The stages of a conversion up to parity, without building or deploying anything."""
    from resnet_convert import precision as precisions
    from resnet_convert.folded import prepare
    from resnet_convert.parity.candidate import Candidate
    from resnet_convert.parity.compare import compare
    from resnet_convert.parity.layers import inspect
    from resnet_convert.parity.reference import Reference
    from resnet_convert.request import Request
    from resnet_serve import host, weights
    from resnet_serve.architectures import find
    from resnet_serve.comparison.distances import BATCH_SIZE
    from resnet_serve.datasets import open_images
    from resnet_serve.datasets.selection import spread
    from resnet_serve.runtimes import open_on_cpu

    threads = host.cores()
    request = Request(
        arch=arch,
        precision=precision,
        weights="random",
        target="onnxruntime",
        calibration=TASK,
    )
    loaded = weights.load("random", find(arch))
    reference = Reference(loaded.network(), loaded, request.input, threads)
    held_in = spread(open_images(TASK, None, split="calibration"), IMAGES)
    held_out = spread(open_images(TASK, None, split="validation"), IMAGES)
    started = time.process_time()
    folded = prepare(request, reference, log)
    made = precisions.bring(folded.model, request, reference, held_in, log)
    precisions.check_rules(made, request, log)
    with (
        log.stage(StageName.PARITY),
        open_on_cpu("onnxruntime", precision, made.data, threads) as model,
    ):
        measured = compare(reference, Candidate(model, "onnxruntime"), held_out, log.progress)
        layers = inspect(
            made.reference,
            made.model,
            reference.inputs(spread(held_out, 8)),
            threads=threads,
        )
    return {
        "layers": len(layers),
        "cpu_s": time.process_time() - started,
        "onnx_mib": round(len(made.data) / 2**20, 2),
        "nodes": len(made.model.graph),
        "sqnr_db": round(measured.numerics[BATCH_SIZE].sqnr_db, 1),
    }


def median(rows: list[Row]) -> Row:
    """Of every number that the repeats disagree on."""
    return {
        name: value
        if all(row[name] == value for row in rows)
        else round(statistics.median(row[name] for row in rows), 3)
        for name, value in rows[0].items()
    }


def shown(row: Row) -> Row:
    """Print a row as it comes; returns it."""
    print(
        f"{row['network']:<11} {row['precision']:<5} {row['total_s']:7.1f} s  "
        f"{row['ms_per_layer']:6.1f} ms a layer  {row['peak_mib']:6.0f} MiB  "
        f"{row['onnx_mib']:6.2f} MiB ONNX  {row['nodes']:6.0f} nodes  {row['sqnr_db']:.1f} dB",
        flush=True,
    )
    return row


def growth(rows: list[Row], precision: str) -> dict[str, float]:
    """By stage, and in all: time per layer of the deeper network over that of the other."""
    shallow, deep = (
        next(row for row in rows if (row["network"], row["precision"]) == (arch, precision))
        for arch in COMPARED
    )
    return {
        name: round(
            deep[f"{name}_s"] / deep["layers"] / (shallow[f"{name}_s"] / shallow["layers"]), 2
        )
        for name in (*STAGES, "total", "cpu")
        if shallow[f"{name}_s"] > 0
    }


@svg.figure((8.4, 3.8))
def times_by_depth(axes: Axes, rows: list[Row]) -> str:
    """Seconds of a conversion over the number of layers, both on a logarithmic scale."""
    _curves(axes, rows, "total_s", ticks=(1, 2, 5, 10, 20, 50))
    axes.set_ylabel("seconds, trace to parity")
    return "Seconds of a conversion by depth"


@svg.figure((8.4, 3.8))
def memory(axes: Axes, rows: list[Row]) -> str:
    """Peak memory over the number of layers."""
    _curves(axes, rows, "peak_mib", ticks=(500, 1000, 2000))
    axes.set_ylabel("MiB at the peak, of the whole process")
    return "Peak memory of a conversion by depth"


def _curves(axes: Axes, rows: list[Row], name: str, *, ticks: tuple[int, ...]) -> None:
    for precision, color in zip(PRECISIONS, (svg.SOFT, svg.CONVERTED), strict=True):
        these = [row for row in rows if row["precision"] == precision]
        depths, values = [row["layers"] for row in these], [row[name] for row in these]
        axes.plot(depths, values, "o-", color=color, markersize=4, label=precision)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.minorticks_off()
    depths = sorted({row["layers"] for row in rows})
    axes.set_xticks(depths, [f"{depth:g}" for depth in depths])
    axes.set_yticks(ticks, list(map(str, ticks)))
    axes.set_xlabel("layers with weights")
    axes.legend(frameon=False)


if __name__ == "__main__":
    main()
