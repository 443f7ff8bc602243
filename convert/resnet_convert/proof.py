"""Proof: the graph as it will be served, against the reference: the gate, and the latency."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resnet_convert import roofline
from resnet_convert.parity import elastic, peaks
from resnet_convert.parity.candidate import Candidate
from resnet_convert.parity.compare import Measurements, compare
from resnet_convert.parity.latencies import time_both, time_engine
from resnet_convert.parity.layers import Layer, inspect
from resnet_convert.parity.opening import (
    open_beside_plan,
    open_cpu_model,
    open_emulation,
    open_engine,
    open_on_cuda,
)
from resnet_convert.parity.reference import Reference
from resnet_convert.parity.reference_outputs import ReferenceOutputs
from resnet_convert.precision import Precise
from resnet_convert.request import Request
from resnet_convert.stage_log import StageLog, StageName
from resnet_convert.stages import runs_on_cuda
from resnet_convert.tensorrt.builder import BuildHost, Built, EngineRecord, TargetsHost
from resnet_serve.cuda import nvidia_smi
from resnet_serve.datasets import Images
from resnet_serve.datasets.selection import spread
from resnet_serve.host import Host
from resnet_serve.parity.verdict import Verdict
from resnet_serve.passport import CudaFacts, EngineState, ProviderState
from resnet_serve.runtimes.onnxruntime_cuda import CudaProvider
from resnet_serve.triton.config import Serving

if TYPE_CHECKING:
    import onnx_ir as ir

INSPECTED_IMAGES = 8


@dataclass(frozen=True)
class Proof:
    """What the gate found, and the engine that it found it in.

    `layers` are the weighted layers with their SQNR, and `roofline` what each reaches of this CPU's
    peak; `peak_share` is how much of the integer peak an INT8 network reaches at batch 1.
    `recorded` are the reference's outputs for the gate of a plan, which may be built on another
    host. `cuda` says whether ONNX Runtime's CUDA provider, for which it was asked, ran it.
    `waiting` is how images that wait together are the fastest.
    """

    measurements: Measurements
    layers: tuple[Layer, ...]
    verdict: Verdict
    engine: EngineRecord | None
    peak_share: float | None
    recorded: ReferenceOutputs | None = None
    cuda: CudaFacts | None = None
    waiting: elastic.Waiting | None = None
    roofline: roofline.Roofline | None = None

    @property
    def worst_layer(self) -> Layer | None:
        """The layer with the smallest SQNR."""
        return min(self.layers, key=lambda layer: layer.sqnr_db, default=None)

    def described(self, layer: Layer) -> dict[str, object]:
        """A layer as the passport has it, with its speed where that was measured."""
        speed = None if self.roofline is None else self.roofline.layers.get(layer.name)
        return layer.to_json() | ({} if speed is None else speed.to_json())

    def served(self, serving: Serving) -> Serving:
        """The same with what was measured of images that wait together."""
        if self.waiting is None:
            return serving
        return replace(serving, one_per_core_below=self.waiting.one_per_core_below)


def prove(
    request: Request,
    reference: Reference,
    folded: ir.Model,
    precise: Precise,
    images: Images,
    build_host: BuildHost | TargetsHost | None,
    log: StageLog,
    found: Measurements | None = None,
) -> Proof:
    """Compare the graph as it will be served with the reference; time both where they can be.

    `found` is that comparison, where autoselect has made it: of the same file on the same images.
    """
    with _open(request, reference, precise, build_host, log) as (candidate, built):
        with log.stage(StageName.PARITY) as say:
            measurements = found or compare(reference, candidate, images, log.progress)
            layers = inspect(
                precise.reference,
                precise.model,
                reference.inputs(spread(images, INSPECTED_IMAGES)),
                threads=reference.threads,
            )
            verdict = measurements.verdict(request.gate_budget, trained=reference.weights.trained)
            if candidate.check is not None:
                verdict = Verdict((candidate.check, *verdict.checks))
            say(_parity_summary(measurements, verdict))

        waiting = None
        if not candidate.emulated:
            with log.stage(StageName.LATENCY) as say:
                measurements = replace(measurements, latencies=time_both(reference, candidate))
                if elastic.applies(request, reference.threads):
                    waiting = elastic.measure(request, reference, candidate, precise.data)
                say(_latency_summary(measurements, waiting))
        engine = _engine_record(request, reference, candidate, built)
    speeds, share = against_peak(
        request, folded, precise.data, measurements, threads=reference.threads
    )
    recorded = None
    if request.makes_plan and (verdict.passed or request.force):
        recorded = ReferenceOutputs.collect(reference, images, measurements.logits)
    cuda = _cuda_facts(request) if request.for_cuda else None
    return Proof(measurements, layers, verdict, engine, share, recorded, cuda, waiting, speeds)


def against_peak(
    request: Request, folded: ir.Model, data: bytes, measurements: Measurements, *, threads: int
) -> tuple[roofline.Roofline | None, float | None]:
    """What the layers reach of this CPU's peak, and what an INT8 network does as a whole.

    None for a small network, and where this host is too busy for times to mean anything.
    """
    latencies, ratio = measurements.latencies, measurements.speedup
    if request.for_gpu or latencies is None or ratio is None or ratio.not_stated is not None:
        return None, None
    macs = peaks.macs(folded)
    if macs < peaks.WORTH_IT:
        return None, None
    integer = request.precision == "int8"
    peak = peaks.measure(threads=threads, precision="int8" if integer else "fp32")
    speeds = roofline.measure(
        request.row.name, request.precision, folded, data, peak, threads=threads
    )
    share = latencies.candidate.images_per_s / peak.images_per_s(macs) if integer else None
    return speeds, share


def cautions(
    request: Request, proof: Proof, machine: Host, busy: str | None = None
) -> Iterator[str | None]:
    """Warnings that follow from the numbers, the precision, the target and this host.

    `busy` says why the speed-ups of a comparison before it are not stated.
    """
    name, measurements = request.model_name, proof.measurements
    precision_name, ratio = request.precision, measurements.speedup
    if ratio is not None:
        yield ratio.caution(precision_name, name, busy)
    if proof.verdict.constant is not None:
        yield (
            f"the parity gate shows nothing: {proof.verdict.constant} in PyTorch, as with a "
            "classifier of zeros, or with one image many times"
        )
    latencies = measurements.latencies
    if latencies is not None and request.for_gpu and latencies.reference_on == "CPU":
        yield "this PyTorch has no CUDA: the model on the GPU was timed against the CPU"
    if (latencies is not None or proof.engine is not None) and not request.for_cuda:
        yield request.row.note(precision_name)
    if request.for_cuda and request.max_batch_size > 1:
        yield (
            "the CUDA provider is slow at every change of the batch size, so that requests are not "
            "merged: send batches of one size"
        )
    if precision_name == "int8" and not request.for_tensorrt and not machine.fast_int8:
        yield (
            "this CPU has no VNNI: the weights have 7 bits, so that sums of products do not "
            "saturate, and INT8 may be slow"
        )
    yield request.precision_row.warning


@contextmanager
def _open(
    request: Request,
    reference: Reference,
    precise: Precise,
    build_host: BuildHost | TargetsHost | None,
    log: StageLog,
) -> Iterator[tuple[Candidate, Built | None]]:
    """The candidate of a request (see the table in `parity.opening`), and the engine built."""
    threads = reference.threads
    largest = request.serving(threads).max_batch_size
    if isinstance(build_host, TargetsHost):
        with open_beside_plan(
            build_host,
            precise.model,
            precise.data,
            request.build_options,
            log,
            threads=threads,
            max_batch_size=largest,
        ) as (candidate, built):
            yield candidate, built
    elif build_host is not None:
        with open_engine(
            build_host,
            precise.model,
            precise.data,
            request.build_options,
            log,
            max_batch_size=largest,
            timing_cache=request.timing_cache_directory,
        ) as (candidate, built):
            yield candidate, built
    elif runs_on_cuda(request):
        provider = CudaProvider(request.workspace)
        with open_on_cuda(
            precise.data, provider, threads=threads, max_batch_size=largest
        ) as candidate:
            yield candidate, None
    elif request.for_gpu:
        with open_emulation(precise.model, threads=threads, max_batch_size=largest) as candidate:
            yield candidate, None
    else:
        with open_cpu_model(
            request.row.name,
            request.precision,
            precise.model,
            precise.data,
            threads=threads,
            max_batch_size=largest,
        ) as candidate:
            yield candidate, None


def _engine_record(
    request: Request, reference: Reference, candidate: Candidate, built: Built | None
) -> EngineRecord | None:
    """What the passport says of the engine; None where there is none."""
    if not request.for_tensorrt:
        return None
    options = request.build_options
    if built is None:
        state = EngineState.BY_SERVER if request.accelerator else EngineState.NOT_BUILT
        return EngineRecord(state, options, request.triton, targets=request.built_for)
    if candidate.emulated:
        return EngineRecord(EngineState.NOT_RUN, options, None, built, request.built_for)
    optima = sorted({profile.optimum for profile in options.profiles})
    times = time_engine(candidate.model, optima, reference.input_kind, reference.preprocessing)
    return EngineRecord(EngineState.BUILT, options, request.triton, built, latencies=times)


def _cuda_facts(request: Request) -> CudaFacts:
    """What the passport says of the CUDA provider."""
    ran = runs_on_cuda(request)
    return CudaFacts(
        state=ProviderState.RAN if ran else ProviderState.EMULATED,
        options=CudaProvider(request.workspace).options,
        gpu=nvidia_smi.gpus()[0] if ran else None,
    )


def _parity_summary(measurements: Measurements, verdict: Verdict) -> str:
    decisions, text = measurements.decisions, measurements.summary
    if decisions is not None and decisions.converted_top1 is not None:
        text += f", top-1 {decisions.reference_top1:.2f} → {decisions.converted_top1:.2f} %"
    about = measurements.label_decisions
    if about is not None and about.accuracy is not None:
        text += f", accuracy {about.accuracy.reference:.2f} → {about.accuracy.converted:.2f} %"
    unshown = ", ".join(check.name for check in verdict.unshown)
    if unshown:
        text += f"; {measurements.count:,} images do not show: {unshown}"
    return f"{verdict.headline}: {text}"


def _latency_summary(measurements: Measurements, waiting: elastic.Waiting | None) -> str:
    latencies = measurements.latencies
    if latencies is None:
        return ""
    ratio = latencies.speedup
    text = f"{latencies.candidate.median_ms:.2f} ms at batch 1, "
    if ratio.not_stated is not None:
        text += f"speed-up {ratio}"
    else:
        text += f"{ratio} PyTorch [{ratio.low:.1f}–{ratio.high:.1f}]"
    return text if waiting is None else f"{text}; {waiting.summary}"
