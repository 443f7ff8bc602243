"""Every runtime and precision of this CPU beside PyTorch, eager and compiled, on ResNet-50.

    python benchmarks/runtimes.py

All of them take turns within every round, so that a machine that drifts drifts for all; ratios are
taken round by round, against the better of PyTorch's two memory formats at that batch. The network
is untrained: speed only. INT8 is also held against this CPU's integer peak, measured in the same
run. Results go to benchmarks/results/ with the date and the hardware.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch

from resnet_convert import ceiling, graph
from resnet_convert.journey import Journey, Silent
from resnet_convert.request import Request
from resnet_serve import durable, host, passport, weights
from resnet_serve.architectures import find
from resnet_serve.datasets import open_images
from resnet_serve.parity import latency
from resnet_serve.runtimes import open_on_cpu
from resnet_serve.runtimes import pytorch as pytorch_runtime
from resnet_serve.selection import spread

RESULTS = Path(__file__).parent / "results"
WAYS = (
    ("onnxruntime", "fp32"),
    ("onnxruntime", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)
EAGER = ("PyTorch eager, contiguous", "PyTorch eager, channels_last")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--seconds", type=float, default=30, help="per batch size")
    parser.add_argument("--compile", action="store_true", help="torch.compile too (minutes)")
    options = parser.parse_args()
    machine = host.describe()
    architecture = find(options.arch)
    loaded = weights.load("random", architecture)
    network = loaded.network()
    request = Request(options.arch, weights="random", calibration="digits")
    folded = graph.prepare(request, loaded, network, Journey(Silent()))
    images = spread(open_images("digits", None, split="calibration"), 32)
    peak = ceiling.measure(threads=machine.cores)
    macs = ceiling.macs(folded.model)
    print(f"integer peak {peak.gops:.0f} GOP/s: {peak.images_per_s(macs):.1f} images/s at most")
    rows: list[dict[str, object]] = []
    with ExitStack() as stack:
        models: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], object]]] = {}
        for name, last in zip(EAGER, (False, True), strict=True):
            eager = pytorch_runtime.load(network, threads=machine.cores, channels_last=last)
            models[name] = ("fp32", lambda _, planes, run=eager.run: run(planes))
        if options.compile:
            compiled = torch.compile(network.eval())
            models["torch.compile"] = (
                "fp32",
                lambda _, planes, run=compiled: torch.inference_mode()(run)(
                    torch.from_numpy(planes)
                ),
            )
        for target, precision in WAYS:
            asked = Request(options.arch, precision, "random", target=target, calibration="digits")
            made = graph.finish(folded, asked, loaded, images, Journey(Silent()))
            runtime = stack.enter_context(open_on_cpu(target, precision, made.data, machine.cores))
            models[target + " " + precision] = (
                precision,
                lambda pixels, _, run=runtime.run: run(pixels),
            )
        for size in map(int, options.batches.split(",")):
            shape = (size, *loaded.preprocessing.crop, 3)
            pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
            planes = loaded.preprocessing.normalize(pixels)
            times = latency.measure(
                {name: partial(run, pixels, planes) for name, (_, run) in models.items()},
                batch_size=size,
                seconds=options.seconds,
            )
            best = min(EAGER, key=lambda name: times[name].median_ms)
            for name, (precision, _) in models.items():
                found, ratio = times[name], latency.speedup(times[best], times[name])
                share = found.images_per_s / peak.images_per_s(macs)
                rows.append(
                    {
                        "runtime": name,
                        "precision": precision,
                        "batch": size,
                        "median_ms": round(found.median_ms, 3),
                        "p95_ms": round(found.p95_ms, 3),
                        "images_per_s": round(found.images_per_s, 2),
                        "speedup": round(ratio.median, 3),
                        "low": round(ratio.low, 3),
                        "high": round(ratio.high, 3),
                        "of_int8_peak": round(share, 3) if precision == "int8" else "",
                        "rounds": len(found.samples_ms),
                    }
                )
                print(
                    f"{name:<30} batch {size:>2} {found.median_ms / size:7.2f} ms/image "
                    f"{ratio.median:5.2f}× [{ratio.low:.2f}–{ratio.high:.2f}]"
                    + (f"  {100 * share:.0f} % of the integer peak" if precision == "int8" else "")
                )
    day = datetime.now(UTC)
    table = io.StringIO()
    writer = csv.DictWriter(table, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    stem = f"runtimes-{day:%Y-%m-%d}"
    durable.write(RESULTS / f"{stem}.csv", table.getvalue())
    summary = {
        "what": f"latency of {options.arch}, untrained, against PyTorch FP32 eager",
        "taken": day.isoformat(timespec="seconds"),
        "integer_peak_gops": round(peak.gops, 1),
        "integer_peak_by": str(peak.by),
        "macs_per_image": macs,
        "host": machine.to_json(),
        "versions": passport.versions(),
    }
    durable.write(RESULTS / f"{stem}.json", json.dumps(summary, indent=2) + "\n")
    print(f"written to {RESULTS / stem}.csv and .json")


if __name__ == "__main__":
    main()
