"""Every runtime and precision of this CPU compared with PyTorch, eager and compiled, on ResNet-50.

    python benchmarks/runtimes.py

Latency: the runtimes alternate within every round, so that changes of the machine affect all of
them; ratios are per round, against the better of PyTorch's two memory formats at that batch.
Throughput: full batches, as one instance of all cores and as one instance per core, in rounds too.
A ratio is not stated where its interval is wide, or where other tasks pressed the CPUs meanwhile.
The network is untrained: speed only. INT8 is also compared with this CPU's integer peak, measured
in the same run. Results go to benchmarks/results/ with the date and the hardware.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from recorded import record

from resnet_convert import precision as precisions
from resnet_convert.folded import prepare
from resnet_convert.parity import peaks
from resnet_convert.parity.reference import Reference
from resnet_convert.parity.throughput import images_per_s
from resnet_convert.report import svg
from resnet_convert.request import Request
from resnet_convert.stage_log import Silent, StageLog
from resnet_serve import host, weights
from resnet_serve.architectures import find
from resnet_serve.datasets import open_images
from resnet_serve.datasets.selection import spread
from resnet_serve.parity import latency, pressure
from resnet_serve.parity.latency import Ratio
from resnet_serve.runtimes import RunnableModel, open_on_cpu
from resnet_serve.runtimes import pytorch as pytorch_runtime

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

WAYS = (
    ("onnxruntime", "fp32"),
    ("onnxruntime", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)
EAGER = ("PyTorch eager, contiguous", "PyTorch eager, channels_last")
COMPILED = "PyTorch, torch.compile"
THROUGHPUT_BATCH = 8
THROUGHPUT_ROUNDS = 5
THROUGHPUT_SECONDS = 1.5
Row = dict[str, object]


@dataclass(frozen=True)
class Runner:
    """A way to run the network; `takes` says whether that is raw pixels or normalised planes."""

    name: str
    precision: str
    takes: str
    model: RunnableModel
    per_core: list[RunnableModel] = field(default_factory=list)


class Compiled(RunnableModel):
    """The network through torch.compile, its default backend."""

    def __init__(self, network: torch.nn.Module) -> None:
        self._run = torch.compile(network.eval())

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """The logits of a batch."""
        with torch.inference_mode():
            return np.asarray(self._run(torch.from_numpy(batch)))

    def describe(self) -> dict[str, object]:
        """The name alone."""
        return {"runtime": "torch.compile"}

    def close(self) -> None:
        """Nothing to release."""


def main() -> None:
    """Measure latency and throughput of every runtime, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--seconds", type=float, default=40, help="of latency, per batch size")
    options = parser.parse_args()
    with ExitStack() as stack:
        runners, macs = opened(options.arch, stack)
        peak = peaks.measure(threads=host.cores())
        most = peak.images_per_s(macs)
        print(f"integer peak {peak.gops:.0f} GOP/s: {most:.1f} images/s at most")
        rows: list[Row] = []
        for size in map(int, options.batches.split(",")):
            rows += shown(latencies(runners, size, options.seconds), most)
        rows += shown(throughputs(runners), most)
    summary = {
        "what": f"latency and throughput of {options.arch}, untrained, against PyTorch FP32 eager",
        "integer_peak_gops": round(peak.gops, 1),
        "integer_peak_by": str(peak.by),
        "macs_per_image": macs,
        "ratios_not_stated": sum(bool(row["not_stated"]) for row in rows),
    }
    record("runtimes", rows, summary, {"latency": bars([r for r in rows if r["aim"] == "latency"])})


def opened(arch: str, stack: ExitStack) -> tuple[list[Runner], int]:
    """All of them, loaded, and the network's multiply-adds."""
    cores = host.cores()
    loaded = weights.load("random", find(arch))
    network = loaded.network()
    base = Request(arch=arch, weights="random", calibration="digits")
    reference = Reference(network, loaded, base.input, cores)
    folded = prepare(base, reference, StageLog(Silent()))
    images = spread(open_images("digits", None, split="calibration"), 32)
    runners = [
        Runner(
            name,
            "fp32",
            "planes",
            pytorch_runtime.load(network, threads=cores, channels_last=last),
        )
        for name, last in zip(EAGER, (False, True), strict=True)
    ]
    runners.append(Runner(COMPILED, "fp32", "planes", Compiled(network)))
    for target, precision in WAYS:
        request = replace(base, precision=precision, target=target)
        log = StageLog(Silent())
        data = precisions.bring(folded.model, request, reference, images, log).data

        def start(threads: int, what: tuple[str, str, bytes]) -> RunnableModel:
            return stack.enter_context(open_on_cpu(*what, threads))

        each = (target, precision, data)
        runners.append(
            Runner(
                f"{target} {precision}",
                precision,
                "pixels",
                start(cores, each),
                [start(1, each) for _ in range(cores)],
            )
        )
    return runners, peaks.macs(folded.model)


def batches(size: int) -> Mapping[str, NDArray[Any]]:
    """What runners take: the same `size` images as pixels and as planes."""
    pixels = np.random.default_rng(0).integers(0, 256, (size, 224, 224, 3), dtype=np.uint8)
    planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / 128 - 1
    return {"pixels": pixels, "planes": planes}


def latencies(runners: list[Runner], size: int, seconds: float) -> Iterator[Row]:
    """A row per runtime: all take turns for `seconds`, at this batch size."""
    given = batches(size)
    calls: dict[str, Callable[[], object]] = {
        each.name: partial(each.model.run, given[each.takes]) for each in runners
    }
    times = latency.measure(calls, batch_size=size, seconds=seconds)
    best = times[min(EAGER, key=lambda name: times[name].median_ms)]
    for each in runners:
        found = times[each.name]
        ratio = latency.speedup(best, found)
        yield {
            "aim": "latency",
            "runtime": each.name,
            "precision": each.precision,
            "instances": 1,
            "batch": size,
            "median_ms": round(found.median_ms, 3),
            "p95_ms": round(found.p95_ms, 3),
            "images_per_s": round(found.images_per_s, 2),
            **stated(ratio),
            "rounds": len(found.samples_ms),
        }


def throughputs(runners: list[Runner]) -> Iterator[Row]:
    """Images per second of full batches; the ratio's ends are the least and the greatest round."""
    given = batches(THROUGHPUT_BATCH)
    fields = {(each.name, 1): (each, [each.model]) for each in runners}
    fields |= {(e.name, len(e.per_core)): (e, e.per_core) for e in runners if len(e.per_core) > 1}
    rates: dict[tuple[str, int], list[float]] = {key: [] for key in fields}
    before = pressure.read()
    for _ in range(THROUGHPUT_ROUNDS):
        for key, (each, models) in fields.items():
            batch = given[each.takes]
            rates[key].append(images_per_s(models, batch, seconds=THROUGHPUT_SECONDS))
    waited = pressure.read().share_since(before)
    best = max(((name, 1) for name in EAGER), key=lambda key: statistics.median(rates[key]))
    for (name, instances), found in rates.items():
        ratios = [mine / theirs for mine, theirs in zip(found, rates[best], strict=True)]
        yield {
            "aim": "throughput",
            "runtime": name,
            "precision": fields[name, instances][0].precision,
            "instances": instances,
            "batch": THROUGHPUT_BATCH,
            "median_ms": "",
            "p95_ms": "",
            "images_per_s": round(statistics.median(found), 2),
            **stated(Ratio(statistics.median(ratios), min(ratios), max(ratios), waited)),
            "rounds": len(found),
        }


def stated(ratio: Ratio) -> Row:
    """The columns of a ratio: without its median, and why, where that is no number to state."""
    reason = ratio.not_stated
    return {
        "speedup": round(ratio.median, 3) if reason is None else "",
        "low": round(ratio.low, 3),
        "high": round(ratio.high, 3),
        "not_stated": reason or "",
    }


def shown(rows: Iterator[Row], most: float) -> list[Row]:
    """The rows with the share of the integer peak, printed as they come."""
    finished = []
    for row in rows:
        share = float(str(row["images_per_s"])) / most if row["precision"] == "int8" else None
        print(
            f"{row['aim']:<10} {row['runtime']:<29} {row['instances']} × batch {row['batch']:>2} "
            f"{row['images_per_s']:7.2f} images/s "
            + ratio_text(row)
            + ("" if share is None else f"  {100 * share:.0f} % of the integer peak"),
            flush=True,
        )
        finished.append({**row, "of_int8_peak": "" if share is None else round(share, 3)})
    return finished


def ratio_text(row: Row) -> str:
    """The ratio with its interval, or why it is not stated."""
    if row["not_stated"]:
        return f"not stated: {row['not_stated']}"
    return f"{row['speedup']:5.2f}× [{row['low']:.2f}–{row['high']:.2f}]"


@svg.figure((10.4, 3.8))
def bars(axes: Axes, rows: list[Row]) -> str:
    """Milliseconds per image by runtime, a group per batch size."""
    names = list(dict.fromkeys(str(row["runtime"]) for row in rows))
    sizes = sorted({int(str(row["batch"])) for row in rows})
    shades = np.linspace(1, 0.35, len(sizes))
    for row in rows:
        size = int(str(row["batch"]))
        index = sizes.index(size)
        place = names.index(str(row["runtime"])) + 0.26 * (index - (len(sizes) - 1) / 2)
        value = 1000 / float(str(row["images_per_s"]))
        color = svg.SOFT if "PyTorch" in str(row["runtime"]) else svg.CONVERTED
        axes.barh(place, value, 0.24, color=color, alpha=shades[index])
        axes.annotate(f"{value:.1f} at {size}", (value, place), (3, 0), va="center", fontsize=7,
                      textcoords="offset points")  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    busy = any(row["not_stated"] for row in rows)
    said = "milliseconds per image, at each batch size"
    axes.set_xlabel(f"{said}; the host was busy: not to be compared" if busy else said)
    if busy:
        return f"Milliseconds per image of {len(names)} runtimes, measured on a busy host"
    fastest = min(rows, key=lambda row: 1 / float(str(row["images_per_s"])))
    return f"Milliseconds per image of {len(names)} runtimes; {fastest['runtime']} is the fastest"


if __name__ == "__main__":
    main()
