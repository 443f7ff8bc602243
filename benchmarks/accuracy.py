"""What each precision and calibration method costs in accuracy, on networks trained on real images.

    python benchmarks/accuracy.py
    python benchmarks/accuracy.py --task fashion-mnist cifar10 --images 1000 10000

Four networks, trained by examples/train_digits.py where benchmarks/checkpoints/ has none (about 25
minutes on two cores), on the digits and on hard ones (noise, a covered patch), on which they make
enough mistakes for a loss to show. Each precision and method is compared with PyTorch's FP32 on
the same 500 held-out images: accuracy, equal decisions, McNemar's exact test. With `--task`,
the networks of `networks.py` over as many of their test images as `--images` says. `tensorrt`
graphs run on ONNX Runtime, rounded where their types require it; nothing here ran on a GPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from networks import CIFAR10, NETWORKS, Cifar10, FashionMnist, Trained
from recorded import record

from resnet_convert import precision
from resnet_convert.folded import prepare
from resnet_convert.graph.emulate import emulated
from resnet_convert.parity.reference import Reference
from resnet_convert.parity.reference_outputs import ReferenceOutputs
from resnet_convert.quantization.clipping import METHODS
from resnet_convert.report import svg
from resnet_convert.request import Request
from resnet_convert.request.options import ADAPTIVE, AUTO
from resnet_convert.stage_log import Silent, StageLog
from resnet_serve import host
from resnet_serve.datasets import Images
from resnet_serve.datasets.selection import positions, spread
from resnet_serve.errors import HostError
from resnet_serve.parity import accuracy, numerics
from resnet_serve.runtimes import open_on_cpu

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Logits = NDArray[np.float32]


METHODS_TRIED = (*METHODS, ADAPTIVE, AUTO)
CALIBRATION_IMAGES = 256
TASKS = ("digits", "digits-hard", "fashion-mnist", "cifar10")


@dataclass(frozen=True)
class Way:
    """A precision for a target, and how INT8 ranges are chosen."""

    precision: str
    target: str
    method: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.precision, self.target, self.method)))


WAYS = (
    Way("fp32", "onnxruntime"),
    Way("fp32", "openvino"),
    Way("fp16", "tensorrt"),
    Way("bf16", "openvino"),
    Way("bf16", "tensorrt"),
    *(
        Way("int8", target, method)
        for target in ("onnxruntime", "openvino", "tensorrt")
        for method in METHODS_TRIED
    ),
)


def main() -> None:
    """Measure every network in every way; write results when nothing was left out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arch", help="only this network; nothing is written")
    parser.add_argument("--task", nargs="+", choices=TASKS, default=TASKS[:2], metavar="TASK")
    parser.add_argument("--cifar10", type=Path, default=CIFAR10, help="folder of CIFAR-10")
    parser.add_argument("--images", type=int, nargs="+", default=[10_000], metavar="N")
    parser.add_argument("--methods", nargs="+", default=METHODS_TRIED, metavar="METHOD")
    options = parser.parse_args()
    real = [
        network
        for network in (FashionMnist(), Cifar10(options.cifar10))
        if network.task in options.task
    ]
    if real:
        ways = [way for way in WAYS if way.method in ("", *options.methods)]
        for each in real:
            images = " and ".join(f"{size:,}" for size in options.images)
            what = f"accuracy of {each.task} against PyTorch FP32 on {images} test images"
            rows = []
            for row in compared(each, ways, options.images):
                show(row)
                rows.append(row)
            record(f"accuracy-{each.task}", rows, {"what": what}, {"points": lost(rows)})
        return
    chosen = [
        each for each in NETWORKS if options.arch in (None, each.arch) and each.task in options.task
    ]
    rows = []
    for row in (row for each in chosen for row in compared(each, WAYS, [10_000])):
        show(row)
        rows.append(row)
    if len(chosen) == len(NETWORKS):
        pictures = {
            task: lost([row for row in rows if row["task"] == task])
            for task in ("digits", "digits-hard")
        }
        what = "accuracy against PyTorch FP32 on 500 held-out digits, by precision and method"
        record("accuracy", rows, {"what": what, "worst": worst(rows)}, pictures)


def show(row: Mapping[str, object]) -> None:
    """Print a row as soon as it is measured."""
    way = " ".join(str(row[name]) for name in ("precision", "target", "method", "chosen"))
    print(
        f"{row['task']:<13} {row['network']:<9} {way:<40} {row['images']:>6} images "
        f"{row['reference_top1']} → {row['top1']} % ({row['points']}: {row['low']} to "
        f"{row['high']}), {row['agreement']} % agree, {row['sqnr_db']} dB, p = {row['mcnemar_p']}",
        flush=True,
    )


def worst(rows: list[dict[str, object]]) -> dict[str, dict[str, float]]:
    """By task and INT8 method: the most points lost and the least agreement of any network."""
    found = {}
    for task in ("digits", "digits-hard"):
        for method in METHODS_TRIED:
            these = [r for r in rows if (r["task"], r["method"]) == (task, method)]
            points, agreement = (
                min(float(str(row[name])) for row in these) for name in ("points", "agreement")
            )
            found[f"{task} int8 {method}"] = {"points": points, "agreement": agreement}
            print(f"{task:<12} int8 {method:<18} worst {points:+.2f} points, {agreement} % agree")
    return found


def compared(
    trained: Trained | FashionMnist | Cifar10, ways: Sequence[Way], sizes: Sequence[int]
) -> Iterator[dict[str, object]]:
    """A row per way, and per number of the validation images."""
    threads = host.cores()
    loaded = trained.load()
    calibration = trained.images(loaded.labels, "calibration")
    validation = spread(trained.images(loaded.labels, "validation"), max(sizes))
    base = Request(arch=trained.arch, calibration=trained.task)
    reference = Reference(loaded.network(), loaded, base.input, threads)
    recorded = ReferenceOutputs.record(reference, validation)
    folded = prepare(base, reference, StageLog(Silent()))
    graphs: dict[tuple[str, bool, str], precision.Precise] = {}
    known: dict[tuple[str, str, str], Logits] = {}
    for way in ways:
        request = Request(
            arch=trained.arch,
            precision=way.precision,
            target=way.target,
            calibration=trained.task,
            calibration_method=way.method or "minmax",
        )
        # The CPU runtimes take the same graph, and some methods give the same.
        made = graphs.get((way.precision, request.for_tensorrt, way.method))
        if made is None:
            log = StageLog(Silent())
            images = spread(calibration, CALIBRATION_IMAGES)
            made = precision.bring(folded.model, request, reference, images, log)
            precision.check_rules(made, request, log)
            graphs[way.precision, request.for_tensorrt, way.method] = made
        try:
            logits = known.get((way.target, way.precision, made.sha256))
            if logits is None:
                logits = run(made, way, recorded, threads)
        except HostError as error:
            print(f"left out: {way}: {error}", flush=True)
            continue
        known[way.target, way.precision, made.sha256] = logits
        calibration_search = made.calibration_search
        for count in dict.fromkeys(min(size, len(logits)) for size in sizes):
            chosen = np.asarray(positions(len(logits), count))
            yield {
                "task": trained.task,
                "network": trained.arch,
                "size": trained.size,
                "precision": way.precision,
                "target": way.target,
                "method": way.method,
                "chosen": "" if calibration_search is None else calibration_search.chosen.name,
                **measured(recorded.logits[chosen], logits[chosen], validation, chosen),
            }


def run(made: precision.Precise, way: Way, images: ReferenceOutputs, threads: int) -> Logits:
    """The logits of a converted graph in its runtime, or as a GPU would round them."""
    on_gpu = way.target == "tensorrt"
    with open_on_cpu(
        "onnxruntime" if on_gpu else way.target,
        way.precision,
        emulated(made.model) if on_gpu else made.data,
        threads,
    ) as runtime:
        return np.concatenate([runtime.run(pixels) for pixels, _ in images.outputs(images)])


def measured(
    reference: Logits,
    logits: Logits,
    validation: Images,
    chosen: NDArray[np.int64],
) -> dict[str, object]:
    """The columns of a row for the images at the positions `chosen`."""
    assert validation.labels is not None, "the images have labels"
    found = accuracy.decide(reference, logits, validation.labels[chosen])
    assert found.interval_points is not None
    row: dict[str, object] = {
        "images": found.images,
        "reference_top1": f"{found.reference_top1:.2f}",
        "top1": f"{found.converted_top1:.2f}",
        "points": f"{found.difference_points:+.2f}",
        "low": f"{found.interval_points[0]:+.2f}",
        "high": f"{found.interval_points[1]:+.2f}",
        "agreement": f"{100 * found.top1_agreement:.2f}",
        "gained": found.gained,
        "lost": found.lost,
        "mcnemar_p": f"{found.mcnemar_p:.3f}",
        "sqnr_db": f"{numerics.compare(reference, logits).sqnr_db:.1f}",
    }
    return row


@svg.figure((10.4, 6.4))
def lost(axes: Axes, rows: list[dict[str, object]]) -> str:
    """Points of top-1 against PyTorch with their 95 % intervals: a line a way, a mark a series.

    A series is a network over a number of images.
    """
    ways = list(dict.fromkeys((r["precision"], r["target"], r["method"]) for r in rows))
    series = list(dict.fromkeys((r["network"], r["images"]) for r in rows))
    marks = dict(zip(series, "osD^vP*X", strict=False))
    for row in rows:
        place = float(ways.index((row["precision"], row["target"], row["method"])))
        one = (row["network"], row["images"])
        place += 0.16 * (series.index(one) - (len(series) - 1) / 2)
        points, low, high = (float(str(row[name])) for name in ("points", "low", "high"))
        color = svg.CONVERTED if points >= -0.5 else svg.NOTABLE
        axes.plot((low, high), (place, place), color=color, linewidth=0.8, alpha=0.4)
        axes.plot(points, place, marks[one], color=color, markersize=5)
    for (network, images), mark in marks.items():
        label = f"{network}, {images} images"
        axes.plot([], [], mark, color=svg.INK, markersize=5, linestyle="", label=label)
    axes.legend(frameon=False, ncols=len(marks), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes.set_yticks(range(len(ways)), [" ".join(filter(None, map(str, way))) for way in ways])
    axes.invert_yaxis()
    axes.axvline(0, color=svg.SOFT, linewidth=0.8)
    axes.set_xlabel("points of top-1 gained or lost against PyTorch FP32, with the 95 % interval")
    worst = min(float(str(row["points"])) for row in rows)
    return f"{len(series)} series, {len(ways)} ways each: the worst loses {-worst:.2f} points"


if __name__ == "__main__":
    main()
