"""Comparison: every runtime in every precision, what was found of each, and which is the best.

What this host cannot run, and what the gate refuses, are rows with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from resnet_convert.autoselect.entrants import (
    Autoselection,
    Entrant,
    EntrantResult,
    fastest,
    not_stated,
)
from resnet_convert.autoselect.gpu import NO_GPU, PROVIDER, Gpu
from resnet_convert.parity.opening import PRECISION_CHECK
from resnet_convert.precision import Precise
from resnet_convert.request import Request
from resnet_convert.tensorrt.inspection import ENGINE_CHECK
from resnet_serve.parity.bounds import share_interval
from resnet_serve.parity.latency import Latency
from resnet_serve.precisions import PRECISIONS
from resnet_serve.runtimes import TARGETS, Target
from resnet_serve.runtimes.tensorrt_flavours import FLAVOURS

_PRECISION_CHECKS = (PRECISION_CHECK, ENGINE_CHECK)


def reasons(request: Request, cores: int, gpu: Gpu = NO_GPU) -> dict[Entrant, str | None]:
    """Every runtime here in every precision, with why it cannot be compared, None where it can.

    A runtime of GPUs that can use none here has no entries.
    """
    serving = request.serving(cores)
    on_cpu = {
        Entrant(row.name, kind, serving.instances, serving.threads): _reason(row, kind, request)
        for row in TARGETS.values()
        if not row.gpu
        for kind in PRECISIONS
    }
    on_gpu = {
        Entrant(way.target, kind, 1, cores, way.accelerator): way.lacks(kind)
        or _uncalibrated(kind, request)
        for way in gpu.ways
        for kind in PRECISIONS
    }
    return {**on_cpu, **on_gpu}


def left_out(gpu: Gpu = NO_GPU) -> tuple[str, ...]:
    """Why runtimes of GPUs have no rows, in one line each."""
    engines = {way.target for way in gpu.ways if way.accelerator is None}
    why = {
        row.title: _elsewhere(row)
        for row in TARGETS.values()
        if row.gpu and row.name not in engines
    }
    if gpu.cuda_missing is not None:
        why[PROVIDER.title] = gpu.cuda_missing.what
    return tuple(f"{title} is not compared: {reason}" for title, reason in why.items())


def _elsewhere(row: Target) -> str:
    if not row.installed:
        return "it is not installed here"
    command = f"resnet-convert --target {row.name}"
    if FLAVOURS[row.name].targets:
        return f"its engines are built here and not run: {command}"
    return f"it needs a GPU that it can use here; for another host: {command}"


def _reason(row: Target, kind: str, request: Request) -> str | None:
    if kind not in row.precisions:
        return f"{row.title} has no {kind}"
    if not row.installed:
        return f"{row.title} is not installed here: pip install 'resnet-serve[{row.extra}]'"
    return _uncalibrated(kind, request)


def _uncalibrated(kind: str, request: Request) -> str | None:
    if PRECISIONS[kind].quantized and request.calibration is None:
        return "needs calibration images: give --calibration"
    return None


def rank(aim: str, result: EntrantResult) -> float:
    """The smaller the better, for "latency" or "throughput"."""
    if aim == "throughput" and result.images_per_s is not None:
        return -result.images_per_s
    return -result.speedup.median if result.speedup is not None else 0.0


@dataclass(frozen=True)
class Accuracy:
    """Of the converted network on labelled images, in percent, and the change in points.

    `interval` is the exact 95 % interval, None for the labels of a sigmoid, whose decisions on one
    image depend on each other. `change` is the paired interval.
    """

    percent: float
    interval: tuple[float, float] | None
    change: tuple[float, float] | None


@dataclass(frozen=True)
class Row:
    """A runtime in a precision: timed at batch 1, and with full batches as its best `split`."""

    result: EntrantResult
    split: EntrantResult | None = None

    @property
    def passed(self) -> bool:
        """Whether the gate holds; without measurements it does not."""
        return self.result.problem is None

    @property
    def accuracy(self) -> Accuracy | None:
        """On labelled images; None without labels."""
        found = self.result.found
        if found is None:
            return None
        decisions, about = found.decisions, found.label_decisions
        if decisions is not None and decisions.converted_top1 is not None:
            right = round(decisions.converted_top1 * decisions.images / 100)
            low, high = share_interval(right, decisions.images)
            interval = (100 * low, 100 * high)
            return Accuracy(decisions.converted_top1, interval, decisions.interval_points)
        if about is not None and about.accuracy is not None:
            return Accuracy(about.accuracy.converted, None, about.accuracy.interval_points)
        return None

    @property
    def flipped(self) -> int | None:
        """How many images are decided otherwise than by PyTorch; None where nothing is decided."""
        found = self.result.found
        return None if found is None or found.agreement is None else len(found.changed)

    @property
    def computed_in(self) -> str | None:
        """The precision that the runtime compiled; None where it does not report it."""
        checks = () if self.result.verdict is None else self.result.verdict.checks
        return next((each.found for each in checks if each.name in _PRECISION_CHECKS), None)

    @property
    def note(self) -> str | None:
        """What a user of this runtime must know of the precision."""
        entrant = self.result.entrant
        if self.passed and entrant.on_gpu:
            return "on the GPU, copies included; PyTorch on this CPU"
        return TARGETS[entrant.target].note(entrant.precision) if self.passed else None

    def to_json(self) -> dict[str, object]:
        """Every number by name, and the gate's verdict."""
        result, accuracy, split = self.result, self.accuracy, self.split
        return {
            "target": result.entrant.target,
            "accelerator": result.entrant.accelerator,
            "precision": result.entrant.precision,
            "passed": self.passed,
            "reason": result.problem,
            "accuracy": None if accuracy is None else accuracy.percent,
            "accuracy_interval": None if accuracy is None else accuracy.interval,
            "accuracy_change": None if accuracy is None else accuracy.change,
            "agreement": result.agreement,
            "flipped": self.flipped,
            "median_ms": None if result.times is None else result.times.median_ms,
            "speedup": None if result.speedup is None else result.speedup.to_json(),
            "images_per_s": None if split is None else split.images_per_s,
            "instances": None if split is None else split.entrant.instances,
            "threads": None if split is None else split.entrant.threads,
            "size_bytes": result.size_bytes,
            "computed_in": self.computed_in,
            "gate": None if result.verdict is None else result.verdict.to_json(),
        }


@dataclass(frozen=True)
class Comparison:
    """All rows, in the order of the runtimes and precisions; `best` is the fastest for the aim.

    `pytorch` has the reference's times, None where nothing was timed. `left_out` says of other
    runtimes why they have no rows.
    """

    aim: str
    rows: tuple[Row, ...]
    best: EntrantResult | None
    pytorch: Latency | None
    graphs: Mapping[str, Precise] = field(repr=False, compare=False)
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        aim: str,
        *,
        order: Sequence[Entrant],
        results: Sequence[EntrantResult],
        rates: Sequence[EntrantResult],
        graphs: Mapping[str, Precise],
        pytorch: Latency | None,
        left_out: tuple[str, ...] = (),
    ) -> Comparison:
        """From one result for each entrant of `order`, and the throughputs of those that run."""
        by_entrant = {each.entrant: each for each in results}
        splits: dict[tuple[object, str], EntrantResult] = {}
        for each in sorted(rates, key=partial(rank, "throughput"), reverse=True):
            splits[each.entrant.runtime, each.entrant.precision] = each
        rows = tuple(
            Row(by_entrant[each], splits.get((each.runtime, each.precision))) for each in order
        )
        timed = rates if aim == "throughput" else [row.result for row in rows if row.passed]
        best = min(timed, key=partial(rank, aim), default=None)
        return cls(aim, rows, best, pytorch, graphs, left_out)

    @property
    def passed(self) -> tuple[Row, ...]:
        """The rows that the gate passes."""
        return tuple(row for row in self.rows if row.passed)

    @property
    def summary(self) -> str:
        """How many pass, and the best, in one line."""
        ran = [row for row in self.rows if row.result.found is not None]
        text = f"{len(self.passed)} of {len(ran)} pass the gate"
        if self.best is None:
            return text
        return f"{text}, {fastest(self.best, [row.result for row in self.rows])}"

    @property
    def caution(self) -> str | None:
        """A warning where speed-ups are not stated."""
        why = not_stated(row.result for row in self.rows)
        return None if why is None else f"speed-ups are not stated: {why}: compare on an idle host"

    def is_best(self, row: Row) -> bool:
        """Whether it is the row of the best."""
        return self.best is not None and (
            (row.result.entrant.runtime, row.result.entrant.precision)
            == (self.best.entrant.runtime, self.best.entrant.precision)
        )

    def selection(self, best: EntrantResult) -> Autoselection:
        """The best with its graph, as autoselect returns it; the others after it."""
        others = [row.result for row in self.rows if not self.is_best(row)]
        others.sort(key=lambda each: (each.problem is not None, rank("latency", each)))
        return Autoselection(self.aim, (best, *others), self.graphs[best.entrant.graph])

    def to_json(self) -> dict[str, object]:
        """The rows, PyTorch's own numbers, and the best."""
        best = None if self.best is None else self.best.entrant
        decisions = next(
            (
                row.result.found.decisions
                for row in self.rows
                if row.result.found is not None and row.result.found.decisions is not None
            ),
            None,
        )
        return {
            "aim": self.aim,
            "pytorch": {
                "accuracy": None if decisions is None else decisions.reference_top1,
                "accuracy_interval": None if decisions is None else decisions.reference_interval,
                "median_ms": None if self.pytorch is None else self.pytorch.median_ms,
            },
            "best": None
            if best is None
            else {
                "target": best.target,
                "accelerator": best.accelerator,
                "precision": best.precision,
                "instances": best.instances,
                "threads": best.threads,
            },
            "rows": [row.to_json() for row in self.rows],
            "left_out": self.left_out,
        }
