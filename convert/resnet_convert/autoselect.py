"""Autoselection: every way this CPU can run the network, side by side, and the one to take.

    entrants = runtimes here × precisions allowed  ─► parity ─► interleaved rounds ─► the fastest

Who does not keep parity, or does not compute in what was asked, is out before the clock starts. For
latency the entrants run one image at a time on all cores; for throughput each runs full batches,
as one instance of all cores and as one instance per core.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from resnet_convert import precision
from resnet_convert.graph.model_file import serialize
from resnet_convert.head import HEADS
from resnet_convert.parity import measure
from resnet_convert.parity.candidate import look_inside
from resnet_convert.parity.throughput import images_per_s
from resnet_convert.precision import Precise
from resnet_convert.request import Request
from resnet_convert.stage_log import Silent, StageLog
from resnet_serve.datasets import Images
from resnet_serve.datasets.selection import spread
from resnet_serve.errors import HostError, ParityError, ResnetServeError
from resnet_serve.host import Host
from resnet_serve.optional import optional
from resnet_serve.parity import latency
from resnet_serve.parity.gate import Verdict
from resnet_serve.parity.latency import Latency, Ratio
from resnet_serve.runtimes import TARGETS, RunnableModel, open_on_cpu
from resnet_serve.runtimes import pytorch as pytorch_runtime
from resnet_serve.weights import Weights

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn
else:
    ir = optional("onnx_ir", extra="convert")

PARITY_IMAGES = 64
LATENCY_SECONDS = 2.0  # per entrant
THROUGHPUT_ROUNDS = 3
COMPARED_PRECISIONS = ("fp32", "bf16", "int8")  # FP16 computes in FP32 on CPUs


@dataclass(frozen=True)
class Entrant:
    """One way: a CPU target in a precision, as `instances` copies of `threads` threads each."""

    target: str
    precision: str
    instances: int
    threads: int

    def __str__(self) -> str:
        return f"{self.target} {self.precision}, {self.instances} × {self.threads} threads"


@dataclass(frozen=True)
class EntrantResult:
    """How an entrant fared; `problem` says why it is out, then nothing was timed."""

    entrant: Entrant
    problem: str | None = None
    agreement: float | None = None
    times: Latency | None = None
    speedup: Ratio | None = None
    images_per_s: float | None = None

    def to_json(self) -> dict[str, object]:
        return {
            "entrant": str(self.entrant),
            "problem": self.problem,
            "agreement": self.agreement,
            "median_ms": None if self.times is None else self.times.median_ms,
            "speedup": None if self.speedup is None else self.speedup.to_json(),
            "images_per_s": self.images_per_s,
        }


@dataclass(frozen=True)
class Autoselection:
    """All results, the best first, those that are out last; `precise` is the winner's graph."""

    aim: str
    results: tuple[EntrantResult, ...]
    precise: Precise | None = field(default=None, repr=False, compare=False)

    @property
    def winner(self) -> EntrantResult:
        return self.results[0]

    def advice(self) -> str | None:
        """What the table says about INT8, when INT8 loses."""
        quantized = [p for p in self.results if p.entrant.precision == "int8" and not p.problem]
        if quantized and self.winner.entrant.precision != "int8":
            return f"INT8 is not the fastest here: keep {self.winner.entrant.precision}"
        return None

    def to_json(self) -> dict[str, object]:
        return {"aim": self.aim, "results": [each.to_json() for each in self.results]}


def entrants(request: Request, cores: int) -> tuple[Entrant, ...]:
    """Every CPU target in every precision that the request allows, installed or not."""
    allowed: tuple[str, ...] = (request.precision,)
    if request.precision == "auto":
        allowed = COMPARED_PRECISIONS
    if request.calibration is None:
        allowed = tuple(each for each in allowed if each != "int8")
    return tuple(
        Entrant(row.name, kind, 1, cores)
        for row in TARGETS.values()
        if not row.gpu
        for kind in allowed
        if kind in row.precisions
    )


def hold(
    request: Request,
    folded: ir.Model,
    network: nn.Module,
    loaded: Weights,
    calibration: Images | None,
    validation: Images,
    machine: Host,
    log: StageLog,
) -> Autoselection:
    """Let all of them run; raises `ParityError` when none is left to be timed."""
    images = spread(validation, PARITY_IMAGES)
    pairs = None
    if request.classifies:
        pairs = list(measure.reference(network, loaded, images, machine.cores))
    out: list[EntrantResult] = []
    with ExitStack() as stack:
        running: dict[Entrant, tuple[RunnableModel, bytes, float | None]] = {}
        field = entrants(request, machine.cores)
        # The targets of a CPU share one dialect: a precision is one graph, calibrated once.
        graphs: dict[str, tuple[Precise, bytes]] = {}
        said: dict[str, list[str]] = {}
        for number, entrant in enumerate(field):
            log.progress.advance(number, len(field))
            asked = replace(request, target=entrant.target, precision=entrant.precision)
            try:
                if entrant.precision not in graphs:
                    quiet = StageLog(Silent())
                    made = precision.bring(folded, asked, loaded, calibration, quiet)
                    graphs[entrant.precision] = made, serialize(made.model)
                    said[entrant.precision] = quiet.warnings
                precise, data = graphs[entrant.precision]
                runtime = stack.enter_context(
                    open_on_cpu(entrant.target, entrant.precision, data, machine.cores)
                )
                found = measure.alike(
                    network,
                    loaded,
                    runtime,
                    images,
                    asked,
                    Silent(),
                    threads=machine.cores,
                    runtime=entrant.target,
                    compiled={},
                    pairs=pairs,
                )
                check = look_inside(entrant.target, entrant.precision, precise.model, data)[1]
            except HostError as error:
                out.append(EntrantResult(entrant, error.what))
                continue
            except ResnetServeError as error:
                out.append(EntrantResult(entrant, str(error)))
                continue
            verdict = found.verdict(
                entrant.precision, trained=loaded.trained, of=HEADS[request.head]
            )
            verdict = Verdict((*verdict.checks, *([] if check is None else [check])))
            agreement = None if found.decisions is None else found.decisions.top1_agreement
            if verdict.passed:
                running[entrant] = (runtime, data, agreement)
            else:
                worst = verdict.failures[0]
                problem = f"no parity: {worst.name} {worst.found}, allowed {worst.allowed}"
                out.append(EntrantResult(entrant, problem, agreement))
        if not running:
            why = "; ".join(f"{each.entrant}: {each.problem}" for each in out)
            raise ParityError(f"nothing on this host keeps parity: {why}", where=request.model_name)
        results = _timed(running, network, loaded, request, machine.cores)
        if request.optimize == "throughput":
            results = list(_throughputs(results, running, loaded, request, machine.cores, stack))
    results.sort(key=_rank)
    taken = results[0].entrant.precision
    log.warnings += said[taken]
    return Autoselection(request.optimize, (*results, *out), graphs[taken][0])


def settled(request: Request, autoselection: Autoselection) -> Request:
    """The request with what the autoselection decided written into it."""
    best = autoselection.winner.entrant
    return replace(request, target=best.target, precision=best.precision, instances=best.instances)


def _timed(
    running: Mapping[Entrant, tuple[RunnableModel, bytes, float | None]],
    network: nn.Module,
    loaded: Weights,
    request: Request,
    cores: int,
) -> list[EntrantResult]:
    """Batch 1 on all cores, everybody in turn, PyTorch among them."""
    pixels, batch = measure.noise(request.input, loaded.preprocessing, 1)
    planes = loaded.preprocessing.normalize(pixels)
    reference = pytorch_runtime.load(network, threads=cores)
    models: dict[str, Any] = {"": lambda: reference.run_all(planes)}
    for entrant, (runtime, _, _) in running.items():
        models[str(entrant)] = lambda runtime=runtime: runtime.run_all(batch)
    seconds = LATENCY_SECONDS * len(models)
    times = latency.measure(models, batch_size=1, seconds=seconds)
    return [
        EntrantResult(
            entrant,
            agreement=agreement,
            times=times[str(entrant)],
            speedup=latency.speedup(times[""], times[str(entrant)]),
        )
        for entrant, (_, _, agreement) in running.items()
    ]


def _throughputs(
    results: list[EntrantResult],
    running: Mapping[Entrant, tuple[RunnableModel, bytes, float | None]],
    loaded: Weights,
    request: Request,
    cores: int,
    stack: ExitStack,
) -> Iterator[EntrantResult]:
    """Full batches, in rounds: one instance of all cores, and one per core."""
    _, batch = measure.noise(request.input, loaded.preprocessing, request.max_batch_size)
    fields: dict[EntrantResult, list[RunnableModel]] = {}
    for result in results:
        entrant = result.entrant
        runtime, data, _ = running[entrant]
        fields[result] = [runtime]
        if cores > 1:
            each = [
                stack.enter_context(open_on_cpu(entrant.target, entrant.precision, data, 1))
                for _ in range(cores)
            ]
            split = replace(entrant, instances=cores, threads=1)
            fields[replace(result, entrant=split)] = each
    rates: dict[EntrantResult, list[float]] = {result: [] for result in fields}
    for _ in range(THROUGHPUT_ROUNDS):
        for result, instances in fields.items():
            rates[result].append(images_per_s(instances, batch))
    for result, found in rates.items():
        yield replace(result, images_per_s=statistics.median(found))


def _rank(result: EntrantResult) -> float:
    if result.images_per_s is not None:
        return -result.images_per_s
    return -result.speedup.median if result.speedup is not None else 0.0


def has_alternatives(request: Request, cores: int) -> bool:
    """Whether there is more than one way to choose from."""
    here = [each for each in entrants(request, cores) if find_spec(each.target) is not None]
    return len(here) > 1 or request.optimize == "throughput"
