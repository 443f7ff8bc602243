"""Autoselect: compare the ways in which this host can run the network, and take the fastest.

    entrants = runtimes here × precisions allowed  ─► parity ─► interleaved rounds ─► the fastest

On a GPU host TensorRT's engines and ONNX Runtime's CUDA provider enter too, as far as they can be
used; what is timed is then, as for a CPU, a batch from the host's memory and the outputs back into
it. Entrants that miss parity, or do not
compute in the precision that was requested, are not timed.
For latency the entrants run one image at a time on all cores; for throughput each runs full
batches, as one instance on all cores and as one instance per core, or as --instances says.

`select` compares a few images and keeps the fastest. `compare_all` compares all images, in every
runtime and precision, and keeps what was found of each.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from resnet_convert.autoselect.comparison import Comparison, left_out, rank, reasons
from resnet_convert.autoselect.entered import Entered, entering
from resnet_convert.autoselect.entrants import (
    Autoselection,
    EntrantResult,
    NothingKeepsParityError,
    entrants,
    fastest,
)
from resnet_convert.autoselect.gpu import NO_GPU, Gpu
from resnet_convert.parity.candidate import Candidate
from resnet_convert.parity.latencies import REFERENCE
from resnet_convert.parity.reference import Reference
from resnet_convert.parity.throughput import images_per_s
from resnet_convert.request import Request
from resnet_convert.stage_log import StageLog, StageName
from resnet_serve.datasets import Images
from resnet_serve.datasets.selection import spread
from resnet_serve.parity import latency
from resnet_serve.parity.latency import Latency
from resnet_serve.runtimes import RunnableModel

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
    gpu: Gpu = NO_GPU,
) -> Autoselection:
    """Run every entrant; raises `ParityError` when none keeps parity."""
    with (
        log.stage(StageName.AUTOSELECT) as say,
        entering(request, folded, reference, calibration, validation, gpu) as entered,
    ):
        candidates = entrants(request, reference.threads, gpu)
        running, dropped = entered.enter_all(candidates, spread(validation, PARITY_IMAGES), log)
        if not running:
            raise NothingKeepsParityError(request, tuple(dropped))
        results, _ = _timed(running, reference)
        if request.optimize == "throughput":
            results = _throughputs(results, running, entered)
        results.sort(key=partial(rank, request.optimize))
        selected = results[0].entrant.graph
        say(f"{fastest(results[0], results)}, for {request.optimize}")
    log.warn(*entered.logs[selected].warnings)
    return Autoselection(request.optimize, (*results, *dropped), entered.graphs[selected])


def compare_all(
    request: Request,
    folded: ir.Model,
    reference: Reference,
    calibration: Images | None,
    validation: Images,
    log: StageLog,
    gpu: Gpu = NO_GPU,
) -> Comparison:
    """Run every runtime in every precision on all images; what cannot run has its reason."""
    with (
        log.stage(StageName.AUTOSELECT) as say,
        entering(request, folded, reference, calibration, validation, gpu) as entered,
    ):
        found = reasons(request, reference.threads, gpu)
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
            left_out=left_out(gpu),
        )
        say(comparison.summary)
    for each in entered.logs.values():
        log.warn(*each.warnings)
    log.warn(comparison.caution)
    return comparison


def _timed(
    running: Mapping[EntrantResult, Candidate], reference: Reference
) -> tuple[list[EntrantResult], Latency]:
    """Batch 1 on all cores, every entrant and PyTorch in turn; with PyTorch's times."""
    planes, batch = reference.random_batch(1)
    models: dict[str, Any] = {REFERENCE: partial(reference.load().run_all, planes)}
    for result, candidate in running.items():
        models[str(result.entrant)] = partial(candidate.model.run_all, batch)
    times = latency.measure(
        models, batch_size=1, seconds=LATENCY_SECONDS * len(models), until_narrow=True
    )
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
    entered: Entered,
) -> list[EntrantResult]:
    """Full batches, in rounds: the instances that were asked for, or one and one per core.

    On a GPU there is one. `timed` are those of `running`, in its order.
    """
    reference = entered.reference
    _, batch = reference.random_batch(entered.request.max_batch_size)
    fields: dict[EntrantResult, list[RunnableModel]] = {}
    for result, candidate in zip(timed, running.values(), strict=True):
        entrant = result.entrant
        fields[result] = [candidate.model]
        if entrant.on_gpu:
            continue
        fields[result] += entered.copies(entrant, entrant.instances - 1)
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
