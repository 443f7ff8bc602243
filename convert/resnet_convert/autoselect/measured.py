"""Autoselect: compare the ways in which this CPU can run the network, and take the fastest.

    entrants = runtimes here × precisions allowed  ─► parity ─► interleaved rounds ─► the fastest

Entrants that miss parity, or do not compute in the precision that was requested, are not timed.
For latency the entrants run one image at a time on all cores; for throughput each runs full
batches, as one instance on all cores and as one instance per core.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from resnet_convert import precision
from resnet_convert.autoselect.entrants import (
    Autoselection,
    Entrant,
    EntrantResult,
    NothingKeepsParityError,
    entrants,
)
from resnet_convert.parity.candidate import Candidate
from resnet_convert.parity.compare import Measurements, compare
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
from resnet_serve.parity.gate import Verdict
from resnet_serve.runtimes import RunnableModel, open_on_cpu

if TYPE_CHECKING:
    import onnx_ir as ir

PARITY_IMAGES = 64
LATENCY_SECONDS = 2.0  # per entrant
THROUGHPUT_ROUNDS = 3


def select(
    request: Request,
    folded: ir.Model,
    reference: Reference,
    calibration: Images | None,
    validation: Images,
    log: StageLog,
) -> Autoselection:
    """Run every entrant; raises `ParityError` when none keeps parity."""
    with log.stage(StageName.AUTOSELECT) as say, ExitStack() as stack:
        entered = _Entered(request, folded, reference, calibration, stack)
        images = spread(validation, PARITY_IMAGES)
        recorded = ReferenceOutputs.record(reference, images) if reference.classifies else None
        candidates = entrants(request, reference.threads)
        running: dict[EntrantResult, Candidate] = {}
        dropped: list[EntrantResult] = []
        for number, entrant in enumerate(candidates):
            log.progress.advance(number, len(candidates))
            result, candidate = entered.enter(entrant, recorded, images)
            if candidate is None:
                dropped.append(result)
            else:
                running[result] = candidate
        if not running:
            raise NothingKeepsParityError(request, tuple(dropped))
        results = _timed(running, reference)
        if request.optimize == "throughput":
            rated = zip(results, running.values(), strict=True)
            results = list(_throughputs(dict(rated), entered, reference, request.max_batch_size))
        results.sort(key=_rank)
        selected = results[0].entrant.precision
        say(f"{results[0].entrant} is the fastest for {request.optimize}")
    log.warn(*entered.logs[selected].warnings)
    return Autoselection(request.optimize, (*results, *dropped), entered.graphs[selected])


@dataclass
class _Entered:
    """The graphs of the entrants: CPU targets share one dialect, so a precision is one graph."""

    request: Request
    folded: ir.Model
    reference: Reference
    calibration: Images | None
    stack: ExitStack
    graphs: dict[str, Precise] = field(default_factory=dict)
    logs: dict[str, StageLog] = field(default_factory=dict)

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
        agreement = found.agreement
        if verdict.passed:
            return EntrantResult(entrant, agreement=agreement), candidate
        worst = verdict.failures[0]
        problem = f"no parity: {worst.name} {worst.found}, allowed {worst.allowed}"
        return EntrantResult(entrant, problem, agreement), None

    def copies(self, entrant: Entrant) -> list[RunnableModel]:
        """One instance of an entrant per core, each on one thread."""
        data = self.graphs[entrant.precision].data
        return [
            self.stack.enter_context(open_on_cpu(entrant.target, entrant.precision, data, 1))
            for _ in range(self.reference.threads)
        ]

    def _compare(
        self, candidate: Candidate, recorded: ReferenceOutputs | None, images: Images
    ) -> Measurements:
        if recorded is None:
            return compare(self.reference, candidate, images, Silent())
        return compare(recorded, candidate, recorded, Silent())

    def _request_for(self, entrant: Entrant) -> Request:
        return replace(self.request, target=entrant.target, precision=entrant.precision)

    def _graph(self, entrant: Entrant) -> Precise:
        if entrant.precision not in self.graphs:
            log = StageLog(Silent())
            self.graphs[entrant.precision] = precision.bring(
                self.folded, self._request_for(entrant), self.reference, self.calibration, log
            )
            self.logs[entrant.precision] = log
        return self.graphs[entrant.precision]


def _timed(running: Mapping[EntrantResult, Candidate], reference: Reference) -> list[EntrantResult]:
    """Batch 1 on all cores, every entrant and PyTorch in turn."""
    planes, batch = reference.random_batch(1)
    models: dict[str, Any] = {REFERENCE: partial(reference.load().run_all, planes)}
    for result, candidate in running.items():
        models[str(result.entrant)] = partial(candidate.model.run_all, batch)
    times = latency.measure(models, batch_size=1, seconds=LATENCY_SECONDS * len(models))
    return [
        replace(
            result,
            times=times[str(result.entrant)],
            speedup=latency.speedup(times[REFERENCE], times[str(result.entrant)]),
        )
        for result in running
    ]


def _throughputs(
    running: Mapping[EntrantResult, Candidate],
    entered: _Entered,
    reference: Reference,
    batch_size: int,
) -> Iterator[EntrantResult]:
    """Full batches, in rounds: one instance of all cores, and one per core."""
    _, batch = reference.random_batch(batch_size)
    fields: dict[EntrantResult, list[RunnableModel]] = {}
    for result, candidate in running.items():
        fields[result] = [candidate.model]
        if reference.threads > 1:
            split = replace(result.entrant, instances=reference.threads, threads=1)
            fields[replace(result, entrant=split)] = entered.copies(result.entrant)
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
