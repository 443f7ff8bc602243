"""Entrants: the ways in which this host could run the network, and what was found of each.

A CPU's runtimes always enter; those of a GPU where they can use one here (`gpu.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from resnet_convert.autoselect.gpu import CUDA_TITLE, NO_GPU, Gpu
from resnet_convert.parity.compare import Measurements
from resnet_convert.parity.parity_error import RefusedError
from resnet_convert.precision import Precise
from resnet_convert.request import Request
from resnet_convert.request.options import AUTO
from resnet_convert.tensorrt.builder import open_build_host
from resnet_serve.datasets import Images
from resnet_serve.parity.latency import Latency, Ratio
from resnet_serve.parity.verdict import Verdict
from resnet_serve.precisions import PRECISIONS
from resnet_serve.runtimes import TARGETS

COMPARED_PRECISIONS = ("fp32", "bf16", "int8")  # FP16 computes in FP32 on CPUs


@dataclass(frozen=True)
class Entrant:
    """A target in a precision, on a CPU as `instances` copies of `threads` threads each.

    `accelerator` is that of ONNX Runtime on a GPU.
    """

    target: str
    precision: str
    instances: int
    threads: int
    accelerator: str | None = None

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on a GPU."""
        return TARGETS[self.target].gpu or self.accelerator is not None

    @property
    def runtime(self) -> tuple[str, str | None]:
        """The target and its accelerator."""
        return self.target, self.accelerator

    @property
    def title(self) -> str:
        """The runtime's name in texts."""
        return TARGETS[self.target].title if self.accelerator is None else CUDA_TITLE

    @property
    def graph(self) -> str:
        """The name of its graph: CPU targets share one dialect, also with CUDA; an engine's is
        its own.
        """
        own = TARGETS[self.target].gpu
        return f"{self.target} {self.precision}" if own else self.precision

    def __str__(self) -> str:
        if self.on_gpu:
            where = "the GPU" if self.accelerator is None else self.accelerator.upper()
            return f"{self.target} {self.precision} on {where}"
        return f"{self.target} {self.precision}, {self.instances} × {self.threads} threads"


@dataclass(frozen=True)
class EntrantResult:
    """What was found of an entrant; with a `problem` it was not timed.

    `agreement` in [0, 1] is None where the outputs rank no classes. `found` and `verdict` are what
    was compared and what the gate says of it, `size_bytes` is of the model file; None where it did
    not run.
    """

    entrant: Entrant
    problem: str | None = None
    agreement: float | None = None
    times: Latency | None = None
    speedup: Ratio | None = None
    images_per_s: float | None = None
    found: Measurements | None = field(default=None, repr=False, compare=False)
    verdict: Verdict | None = field(default=None, repr=False, compare=False)
    size_bytes: int | None = None

    def to_json(self) -> dict[str, object]:
        """The numbers, by name."""
        return {
            "entrant": str(self.entrant),
            "problem": self.problem,
            "agreement": self.agreement,
            "median_ms": None if self.times is None else self.times.median_ms,
            "speedup": None if self.speedup is None else self.speedup.to_json(),
            "images_per_s": self.images_per_s,
        }


def not_stated(results: Iterable[EntrantResult]) -> str | None:
    """Why a speed-up of these is no number to state; None where all are."""
    ratios = (each.speedup for each in results)
    return next((r.not_stated for r in ratios if r is not None and r.not_stated is not None), None)


def fastest(best: EntrantResult, results: Iterable[EntrantResult]) -> str:
    """That it is the fastest of these; on a busy host, that it was so in this measurement."""
    busy = not_stated(results) is not None
    return f"{best.entrant} {'was' if busy else 'is'} the fastest{', on a busy host' * busy}"


@dataclass(frozen=True)
class Autoselection:
    """All results, the best first, those with a problem last; `precise` is the winner's graph."""

    aim: str
    results: tuple[EntrantResult, ...]
    precise: Precise = field(repr=False, compare=False)

    @property
    def winner(self) -> EntrantResult:
        """The fastest that keeps parity."""
        return self.results[0]

    def measured(self, images: Images) -> Measurements | None:
        """What comparing the winner with the reference found, where that was on all these images.

        None for an engine of a GPU, which is built again for its deployment.
        """
        entrant, found = self.winner.entrant, self.winner.found
        if found is None or entrant.on_gpu or found.count != len(images):
            return None
        return replace(found, images_sha256=images.digest())

    def advice(self) -> str | None:
        """A sentence for the case that INT8 is not the fastest."""
        quantized = [r for r in self.results if r.entrant.precision == "int8" and not r.problem]
        if not quantized or self.winner.entrant.precision == "int8":
            return None
        if self.not_stated is not None:
            return (
                f"INT8 was not the fastest, but the speed-ups are not stated: {self.not_stated}: "
                "convert again on an idle host"
            )
        return f"INT8 is not the fastest here: keep {self.winner.entrant.precision}"

    @property
    def not_stated(self) -> str | None:
        """Why a speed-up among the results is not stated; None where all are."""
        return not_stated(self.results)

    def applied_to(self, request: Request) -> Request:
        """The request with the winner's target and precision, and the instances it was timed as.

        The aim "latency" chooses no number of instances: there the request's own stays.
        """
        best = self.winner.entrant
        instances = best.instances if self.aim == "throughput" else request.instances
        chosen = replace(
            request,
            target=best.target,
            accelerator=best.accelerator,
            precision=best.precision,
            instances=instances,
        )
        return chosen.decided()

    def to_json(self) -> dict[str, object]:
        """The aim, and every result."""
        return {"aim": self.aim, "results": [each.to_json() for each in self.results]}


class NothingKeepsParityError(RefusedError):
    """Every entrant has a problem; `results` has them."""

    def __init__(self, request: Request, results: tuple[EntrantResult, ...]) -> None:
        self.aim, self.results = request.optimize, results
        why = "; ".join(f"{each.entrant}: {each.problem}" for each in results)
        quantizes = request.precision == AUTO or request.precision_row.quantized
        better = request.calibration is not None and request.calibration_method != AUTO
        following = replace(request, calibration_method=AUTO) if better and quantizes else None
        if following is None and request.precision not in (AUTO, "fp32"):
            following = replace(request, precision="fp32").decided()
        super().__init__(
            f"nothing on this host keeps parity: {why}",
            where=request.model_name,
            remedy=None if following is None else f"Try next: {following.command()}",
        )

    def facts(self) -> dict[str, object]:
        """What was found of every entrant."""
        return {"autoselect": {"results": [each.to_json() for each in self.results]}}


def entrants(request: Request, cores: int, gpu: Gpu = NO_GPU) -> tuple[Entrant, ...]:
    """Every target and precision that the request allows; of a CPU's, installed or not.

    On a CPU each runs as the --instances of the request, which share the cores.
    """
    serving = request.serving(cores)
    on_cpu = [
        Entrant(row.name, kind, serving.instances, serving.threads)
        for row in TARGETS.values()
        if not row.gpu and request.target in (None, AUTO, row.name)
        for kind in _allowed(request, row.precisions, COMPARED_PRECISIONS)
    ]
    on_gpu = [
        Entrant(way.target, kind, 1, cores, way.accelerator)
        for way in gpu.ways
        if request.target in (None, AUTO) or (request.target, None) == way.runtime
        for kind in _allowed(request, way.precisions, way.compared)
    ]
    return (*on_cpu, *on_gpu)


def entrants_here(request: Request, cores: int) -> tuple[Entrant, ...]:
    """The entrants of this host, whose GPU is looked at for that."""
    with open_build_host() as (build_host, _):
        return entrants(request, cores, Gpu.found(build_host))


def _allowed(
    request: Request, precisions: Collection[str], compared: Sequence[str]
) -> tuple[str, ...]:
    """Of a target's precisions those to compare: what is quantized needs calibration."""
    asked = compared if request.precision == AUTO else (request.precision,)
    return tuple(
        kind
        for kind in asked
        if kind in precisions
        and (request.calibration is not None or not PRECISIONS[kind].quantized)
    )


def has_alternatives(request: Request, cores: int, gpu: Gpu = NO_GPU) -> bool:
    """Whether measuring decides, and there is more than one way to choose from."""
    if not request.autoselects:
        return False
    found = entrants(request, cores, gpu)
    here = [each for each in found if TARGETS[each.target].installed]
    return len(here) > 1 or request.optimize == "throughput"
