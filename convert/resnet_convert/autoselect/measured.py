"""Autoselect: compare the ways in which this CPU can run the network, and take the fastest.

    entrants = runtimes here × precisions allowed  ─► parity ─► interleaved rounds ─► the fastest

Entrants that miss parity, or do not compute in the precision that was requested, are not timed.
For latency the entrants run one image at a time on all cores; for throughput each runs full
batches, as one instance on all cores and as one instance per core, or as --instances says.

`select` compares a few images and keeps the fastest. `compare_all` compares all images, in every
runtime and precision, and keeps what was found of each.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from resnet_convert import precision
from resnet_convert.autoselect.comparison import Comparison, rank, reasons
from resnet_convert.autoselect.entrants import (
    Autoselection,
    Entrant,
    EntrantResult,
    NothingKeepsParityError,
    entrants,
)
from resnet_convert.parity.candidate import Candidate
from resnet_convert.parity.compare import Measurements, compare
from resnet_convert.parity.evaluator import for_budgets
from resnet_convert.parity.latencies import REFERENCE
from resnet_convert.parity.opening import open_cpu_model
from resnet_convert.parity.reference import Reference
from resnet_convert.parity.reference_outputs import ReferenceOutputs
from resnet_convert.parity.throughput import images_per_s
from resnet_convert.precision import Precise
from resnet_convert.request import Request
from resnet_convert.stage_log import Silent, StageLog, StageName
from resnet_serve.datasets import Images
from resnet_serve.datasets.selection import spread
from resnet_serve.errors import HostError, ResnetServeError
from resnet_serve.parity import latency
from resnet_serve.parity.latency import Latency
from resnet_serve.parity.verdict import Verdict
from resnet_serve.runtimes import RunnableModel, open_on_cpu

if TYPE_CHECKING:
    import onnx_ir as ir

PARITY_IMAGES = 64
LATENCY_SECONDS = 2.0  # per entrant
THROUGHPUT_ROUNDS = 3
RECORDED_BYTES = 2**30  # of pixels: 7,000 images of 224 px


def select(
    request: Request,
    folded: ir.Model,
    reference: Reference,
    calibration: Images | None,
    validation: Images,
    log: StageLog,
) -> Autoselection:
    """Run every entrant; raises `ParityError` when none keeps parity."""
    with (
        log.stage(StageName.AUTOSELECT) as say,
        _entered(request, folded, reference, calibration, validation) as entered,
    ):
        candidates = entrants(request, reference.threads)
        running, dropped = entered.enter_all(candidates, spread(validation, PARITY_IMAGES), log)
        if not running:
            raise NothingKeepsParityError(request, tuple(dropped))
        results, _ = _timed(running, reference)
        if request.optimize == "throughput":
            results = _throughputs(results, running, entered)
        results.sort(key=partial(rank, request.optimize))
        selected = results[0].entrant.precision
        say(f"{results[0].entrant} is the fastest for {request.optimize}")
    log.warn(*entered.logs[selected].warnings)
    return Autoselection(request.optimize, (*results, *dropped), entered.graphs[selected])


def compare_all(
    request: Request,
    folded: ir.Model,
    reference: Reference,
    calibration: Images | None,
    validation: Images,
    log: StageLog,
) -> Comparison:
    """Run every runtime in every precision on all images; what cannot run has its reason."""
    with (
        log.stage(StageName.AUTOSELECT) as say,
        _entered(request, folded, reference, calibration, validation) as entered,
    ):
        found = reasons(request, reference.threads)
        possible = [entrant for entrant, reason in found.items() if reason is None]
        running, dropped = entered.enter_all(possible, validation, log)
        timed, pytorch = _timed(running, reference) if running else ([], None)
        rates = _throughputs(timed, running, entered)
        impossible = [EntrantResult(each, why) for each, why in found.items() if why is not None]
        comparison = Comparison.of(
            request.optimize,
            order=list(found),
            results=[*timed, *dropped, *impossible],
            rates=rates,
            graphs=entered.graphs,
            pytorch=pytorch,
        )
        say(comparison.summary)
    for each in entered.logs.values():
        log.warn(*each.warnings)
    log.warn(comparison.caution)
    return comparison


@dataclass
class _Entered:
    """The graphs of the entrants: CPU targets share one dialect, so a precision is one graph."""

    request: Request
    folded: ir.Model
    reference: Reference
    calibration: Images | None
    validation: Images
    stack: ExitStack
    graphs: dict[str, Precise] = field(default_factory=dict)
    logs: dict[str, StageLog] = field(default_factory=dict)

    def enter_all(
        self, candidates: Sequence[Entrant], images: Images, log: StageLog
    ) -> tuple[dict[EntrantResult, Candidate], list[EntrantResult]]:
        """Open all entrants and compare them: those that keep parity, and those that do not."""
        recorded = self._record(images)
        running: dict[EntrantResult, Candidate] = {}
        dropped: list[EntrantResult] = []
        for number, entrant in enumerate(candidates):
            log.progress.advance(number, len(candidates))
            result, candidate = self.enter(entrant, recorded, images)
            if candidate is None:
                dropped.append(result)
            else:
                running[result] = candidate
        return running, dropped

    def enter(
        self, entrant: Entrant, recorded: ReferenceOutputs | None, images: Images
    ) -> tuple[EntrantResult, Candidate | None]:
        """Open an entrant and compare it; no candidate where it has a problem."""
        try:
            candidate = self.stack.enter_context(
                open_cpu_model(
                    entrant.target,
                    entrant.precision,
                    self._graph(entrant).model,
                    self._graph(entrant).data,
                    threads=entrant.threads,
                    max_batch_size=self.request.max_batch_size,
                )
            )
            found = self._compare(candidate, recorded, images)
        except HostError as error:
            return EntrantResult(entrant, error.what), None
        except ResnetServeError as error:
            return EntrantResult(entrant, str(error)), None
        budget = self._request_for(entrant).gate_budget
        verdict = found.verdict(budget, trained=self.reference.weights.trained)
        if candidate.check is not None:
            verdict = Verdict((*verdict.checks, candidate.check))
        result = EntrantResult(
            entrant,
            agreement=found.agreement,
            found=found,
            verdict=verdict,
            size_bytes=len(self._graph(entrant).data),
        )
        if verdict.passed:
            return result, candidate
        worst = verdict.failures[0]
        problem = f"no parity: {worst.name} {worst.found}, allowed {worst.allowed}"
        return replace(result, problem=problem), None

    def copies(self, entrant: Entrant, count: int) -> list[RunnableModel]:
        """So many instances of an entrant, each on its threads."""
        data = self.graphs[entrant.precision].data
        return [
            self.stack.enter_context(
                open_on_cpu(entrant.target, entrant.precision, data, entrant.threads)
            )
            for _ in range(count)
        ]

    def _compare(
        self, candidate: Candidate, recorded: ReferenceOutputs | None, images: Images
    ) -> Measurements:
        if recorded is None:
            return compare(self.reference, candidate, images, Silent())
        return compare(recorded, candidate, recorded, Silent())

    def _record(self, images: Images) -> ReferenceOutputs | None:
        """PyTorch's logits, computed once; None for features, and where memory is too small."""
        height, width = self.reference.preprocessing.crop
        size_bytes = len(images) * height * width * self.reference.preprocessing.channels
        if not self.reference.classifies or size_bytes > RECORDED_BYTES:
            return None
        return ReferenceOutputs.record(self.reference, images)

    def _request_for(self, entrant: Entrant) -> Request:
        return replace(self.request, target=entrant.target, precision=entrant.precision)

    def _graph(self, entrant: Entrant) -> Precise:
        if entrant.precision not in self.graphs:
            log, request = StageLog(Silent()), self._request_for(entrant)
            evaluator = for_budgets(request, self.reference, self.validation)
            made = precision.bring(
                self.folded, request, self.reference, self.calibration, log, evaluator
            )
            precision.check_rules(made, request, log)
            self.graphs[entrant.precision] = made
            self.logs[entrant.precision] = log
        return self.graphs[entrant.precision]


@contextmanager
def _entered(
    request: Request,
    folded: ir.Model,
    reference: Reference,
    calibration: Images | None,
    validation: Images,
) -> Iterator[_Entered]:
    """No entrant yet; those that enter are open until the end."""
    with ExitStack() as stack:
        yield _Entered(request, folded, reference, calibration, validation, stack)


def _timed(
    running: Mapping[EntrantResult, Candidate], reference: Reference
) -> tuple[list[EntrantResult], Latency]:
    """Batch 1 on all cores, every entrant and PyTorch in turn; with PyTorch's times."""
    planes, batch = reference.random_batch(1)
    models: dict[str, Any] = {REFERENCE: partial(reference.load().run_all, planes)}
    for result, candidate in running.items():
        models[str(result.entrant)] = partial(candidate.model.run_all, batch)
    times = latency.measure(models, batch_size=1, seconds=LATENCY_SECONDS * len(models))
    timed = [
        replace(
            result,
            times=times[str(result.entrant)],
            speedup=latency.speedup(times[REFERENCE], times[str(result.entrant)]),
        )
        for result in running
    ]
    return timed, times[REFERENCE]


def _throughputs(
    timed: Sequence[EntrantResult],
    running: Mapping[EntrantResult, Candidate],
    entered: _Entered,
) -> list[EntrantResult]:
    """Full batches, in rounds: the instances that were asked for, or one and one per core.

    `timed` are those of `running`, in its order.
    """
    reference = entered.reference
    _, batch = reference.random_batch(entered.request.max_batch_size)
    fields: dict[EntrantResult, list[RunnableModel]] = {}
    for result, candidate in zip(timed, running.values(), strict=True):
        entrant = result.entrant
        fields[result] = [candidate.model, *entered.copies(entrant, entrant.instances - 1)]
        if entrant.instances == 1 < reference.threads:
            split = replace(entrant, instances=reference.threads, threads=1)
            fields[replace(result, entrant=split)] = entered.copies(split, split.instances)
    rates: dict[EntrantResult, list[float]] = {result: [] for result in fields}
    for _ in range(THROUGHPUT_ROUNDS):
        for result, instances in fields.items():
            rates[result].append(images_per_s(instances, batch))
    return [
        replace(result, images_per_s=statistics.median(found)) for result, found in rates.items()
    ]
