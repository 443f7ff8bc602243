"""Proof: the converted graph in its runtime against the reference, by the gate and the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_convert.head import HEADS
from resnet_convert.parity import int8_peak, measure
from resnet_convert.parity.candidate import engine_record, open_candidate
from resnet_convert.parity.layers import Layer, inspect
from resnet_convert.parity.measure import Measurements
from resnet_convert.request import Request
from resnet_convert.stage_log import StageLog
from resnet_convert.stages import Graph
from resnet_convert.tensorrt.builder import BuildHost, EngineRecord
from resnet_serve.datasets import Images
from resnet_serve.datasets.selection import spread
from resnet_serve.host import Host
from resnet_serve.parity.gate import Verdict
from resnet_serve.runtimes import TARGETS
from resnet_serve.weights import Weights

if TYPE_CHECKING:
    from torch import nn

INSPECTED_IMAGES = 8
CPU_RUNTIMES = tuple(row.name for row in TARGETS.values() if not row.gpu)


@dataclass(frozen=True)
class Proof:
    """What the gate found, and the engine that it found it in."""

    measurements: Measurements
    layers: tuple[Layer, ...]
    verdict: Verdict
    engine: EngineRecord | None
    peak_share: float | None


def prove(
    request: Request,
    loaded: Weights,
    network: nn.Module,
    graph: Graph,
    images: Images,
    build_host: BuildHost | None,
    machine: Host,
    log: StageLog,
) -> Proof:
    """Run the graph as it will be served against the reference, and time both where they can be."""
    cores = machine.cores
    with open_candidate(request, graph.model, graph.data, build_host, cores, log) as candidate:
        with log.stage("parity") as say:
            measurements = measure.alike(
                network,
                loaded,
                candidate.model,
                images,
                request,
                log.progress,
                threads=cores,
                runtime=candidate.runtime,
                compiled=candidate.compiled,
            )
            layers = inspect(
                graph.precise.reference,
                graph.model,
                measure.inputs(spread(images, INSPECTED_IMAGES), loaded, request),
                threads=cores,
            )
            verdict = measurements.verdict(
                request.precision, trained=loaded.trained, of=HEADS[request.head]
            )
            if candidate.check is not None:
                verdict = Verdict((candidate.check, *verdict.checks))
            say(_parity_summary(measurements, verdict))

        if candidate.measurable:
            with log.stage("latency") as say:
                measurements = measure.latencies(
                    measurements, network, candidate.model, loaded, request, cores
                )
                say(_latency_summary(measurements))
        engine = engine_record(request, candidate, loaded.preprocessing)
    peak = None
    if request.precision == "int8" and measurements.runtime in CPU_RUNTIMES:
        found = measurements.latencies[measurements.runtime]
        peak = int8_peak.share(graph.folded.model, found.images_per_s, threads=cores)
    return Proof(measurements, layers, verdict, engine, peak)


def _parity_summary(measurements: Measurements, verdict: Verdict) -> str:
    decisions, text = measurements.decisions, measurements.likeness
    if decisions is not None and decisions.converted_top1 is not None:
        text += f", top-1 {decisions.reference_top1:.2f} → {decisions.converted_top1:.2f} %"
    return f"{'passed' if verdict.passed else 'NOT MET'}: {text}"


def _latency_summary(measurements: Measurements) -> str:
    ratio = measurements.speedup
    if ratio is None:
        return ""
    median_ms = measurements.latencies[measurements.runtime].median_ms
    return (
        f"{median_ms:.2f} ms at batch 1, {ratio.median:.1f}× PyTorch "
        f"[{ratio.low:.1f}–{ratio.high:.1f}]"
    )
