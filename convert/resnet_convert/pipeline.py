"""The stages of a conversion in their one right order, composed and timed.

    weights → trace → fold → pixels → precision → (lint → engine → inspect) → parity → latency
            → gate → deploy

Quantizing before folding, or deploying before the gate, cannot be written here. `convert` is the
Python entry; the command line composes the same call and prints.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_convert import candidate as candidates
from resnet_convert import deployment, lint, measure, precision
from resnet_convert.build import EngineRecord, Workshop, open_workshop
from resnet_convert.conversion import Conversion
from resnet_convert.fold import Fold, fold
from resnet_convert.journey import Journey, Progress, Silent
from resnet_convert.layers import Layer, inspect
from resnet_convert.measure import Measurements
from resnet_convert.pixels import take_pixels
from resnet_convert.precision import Precise
from resnet_convert.refusal import refusal
from resnet_convert.request import Request
from resnet_convert.trace import Trace, serialize, trace, verify
from resnet_serve import durable, host, weights
from resnet_serve.architectures import find
from resnet_serve.datasets import Images, check_label_count, open_images, read_labels
from resnet_serve.errors import HostError
from resnet_serve.host import Host
from resnet_serve.optional import optional
from resnet_serve.parity.gate import BUDGETS, Verdict, judge
from resnet_serve.parity.numerics import Numerics
from resnet_serve.selection import spread
from resnet_serve.synthetic import SyntheticImages
from resnet_serve.triton.repository import Repository
from resnet_serve.weights import Weights

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import nn
else:
    ir = optional("onnx_ir", extra="convert")

INSPECTED_IMAGES = 8


def convert(*, progress: Progress | None = None, **options: Any) -> Conversion:
    """Convert, prove and deploy; `options` are the fields of `Request`.

    Raises `ParityError` (nothing deployed) when the gate does not hold and `force` is not set.
    With the target "tensorrt" on a host that cannot build plans, the conversion comes back with
    `missing` set: everything is deployed but the plan.
    """
    return run(Request(**options), progress or Silent())


def run(request: Request, progress: Progress) -> Conversion:
    """The conversion of one request."""
    request.check()
    repository = Repository(request.repository)
    repository.check_writable()
    machine = host.describe()
    journey = Journey(progress)
    workshop, missing = _workshop(request, journey)

    with journey.stage("weights") as say:
        loaded = _load_weights(request, progress)
        calibration_set, validation_set = _images(request, loaded)
        say(_weights_summary(loaded))
    if not loaded.trained:
        journey.warnings.append(
            f"{request.arch} is UNTRAINED: good for speed only, its decisions mean nothing"
        )

    network = loaded.network()
    graph = _graph(request, loaded, network, calibration_set, journey)
    proof = _prove(request, loaded, network, graph, validation_set, workshop, machine, journey)
    measurements, verdict = proof.measurements, proof.verdict
    journey.warnings += measurements.warnings(request.precision)
    if request.precision == "int8" and not request.for_tensorrt and not machine.fast_int8:
        journey.warnings.append(
            "this CPU has no VNNI: sums of u8 × s8 products may saturate, and INT8 may be slow"
        )
    if request.precision == "fp8":
        journey.warnings.append("FP8 is an experiment: no gain for ResNets has been published")

    conversion = Conversion(
        request=request,
        weights=loaded,
        target=request.row,
        trace=graph.trace,
        fold=graph.fold,
        fold_numerics=graph.fold_numerics,
        calibration=graph.precise.calibration,
        quantization=graph.precise.quantization,
        half=graph.precise.half,
        measurements=measurements,
        layers=proof.layers,
        verdict=verdict,
        serving=request.serving(machine.cores),
        stages=tuple(journey.stages),
        warnings=tuple(journey.warnings),
        opset=graph.model.graph.opset_imports[""],
        ir_version=graph.model.ir_version,
        model_bytes=len(graph.data),
        model_sha256=durable.sha256(graph.data),
        host=machine,
        calibration_set=calibration_set,
        validation_set=validation_set,
        engine=proof.engine,
        missing=missing,
    )
    if not verdict.passed and not request.force:
        raise refusal(
            "nothing was deployed",
            verdict,
            measurements,
            validation_set.name_of,
            where=f"{conversion.name} {request.precision}",
            remedy="Calibrate with more or better images, take a higher precision, or --force it.",
            layer=conversion.worst_layer,
        )
    with journey.stage("deploy") as say:
        version, path = deployment.deploy(conversion, graph.data, repository)
        say(f"{request.model_name} version {version} in {repository.path}")
    return replace(conversion, version=version, path=path, stages=tuple(journey.stages))


def _workshop(request: Request, journey: Journey) -> tuple[Workshop | None, HostError | None]:
    """Who builds the plan here, or why nobody does; before minutes of work, not after."""
    if request.row.name != "tensorrt" or request.prepare_only:
        return None, None
    workshop, missing = open_workshop()
    if workshop is not None:
        warning = workshop.guard(request.build_options, request.precision, request.triton)
        journey.warnings += [] if warning is None else [warning]
    return workshop, missing


@dataclass(frozen=True)
class _Graph:
    """The graph on its way: as traced, as folded, as it will be deployed (`data`, serialized)."""

    trace: Trace
    fold: Fold
    fold_numerics: dict[int, Numerics]
    folded: ir.Model
    precise: Precise
    model: ir.Model
    data: bytes


def _graph(
    request: Request,
    loaded: Weights,
    network: nn.Module,
    calibration_set: Images | None,
    journey: Journey,
) -> _Graph:
    with journey.stage("trace") as say:
        traced = trace(network, (3, *loaded.preprocessing.crop))
        model = traced.model
        worst = max(n.max_abs for n in traced.numerics.values())
        say(f"{sum(traced.operators.values())} nodes, max |Δlogit| {worst:.1e} against PyTorch")

    with journey.stage("fold") as say:
        folding = fold(model)
        fold_numerics = verify(network, model, (3, *loaded.preprocessing.crop), stage="fold")
        worst = max(n.max_abs for n in fold_numerics.values())
        say(
            f"{folding.folded} of {folding.total} BatchNorms folded, "
            f"max |Δw| {folding.max_weight_change:.3g}, max |Δlogit| {worst:.1e} against PyTorch"
        )

    if request.input == "uint8":
        with journey.stage("pixels") as say:
            take_pixels(model, loaded.preprocessing)
            say("normalisation in the graph, raw RGB bytes in")
    folded = ir.from_proto(ir.to_proto(model))

    precise = precision.bring(model, request, loaded, calibration_set, journey)
    if request.for_tensorrt:
        with journey.stage("lint") as say:
            lint.refuse(lint.check(model))
            say("keeps TensorRT's rules")
    return _Graph(traced, folding, fold_numerics, folded, precise, model, serialize(model))


@dataclass(frozen=True)
class _Proof:
    """What the gate found, and the engine that it found it in."""

    measurements: Measurements
    layers: tuple[Layer, ...]
    verdict: Verdict
    engine: EngineRecord | None


def _prove(
    request: Request,
    loaded: Weights,
    network: nn.Module,
    graph: _Graph,
    images: Images,
    workshop: Workshop | None,
    machine: Host,
    journey: Journey,
) -> _Proof:
    cores = machine.cores
    with candidates.open_candidate(
        request, graph.model, graph.data, workshop, cores, journey
    ) as candidate:
        with journey.stage("parity") as say:
            measurements = measure.decisions(
                measure.reference(network, loaded, images, cores),
                candidate.model,
                images,
                lambda pixels: measure.taken(request.input, pixels, loaded.preprocessing),
                journey.progress,
                runtime=candidate.runtime,
                compiled=candidate.compiled,
                largest_batch=request.serving(cores).max_batch_size,
            )
            layers = inspect(
                graph.folded,
                graph.model,
                measure.inputs(spread(images, INSPECTED_IMAGES), loaded, request),
                threads=cores,
            )
            verdict = judge(
                BUDGETS[request.precision],
                measurements.numerics,
                measurements.decisions,
                trained=loaded.trained,
            )
            if candidate.built is not None:
                verdict = Verdict((candidate.built.inspection.check(), *verdict.checks))
            say(_parity_summary(measurements, verdict))

        if candidate.measurable:
            with journey.stage("latency") as say:
                measurements = measure.latencies(
                    measurements, network, candidate.model, loaded, request, cores
                )
                say(_latency_summary(measurements))
        engine = candidates.engine_record(request, candidate, loaded.preprocessing)
    return _Proof(measurements, layers, verdict, engine)


def _load_weights(request: Request, progress: Progress) -> Weights:
    architecture = find(request.arch)
    labels = None if request.labels is None else read_labels(Path(request.labels))
    spec = request.weights or weights.default_spec(architecture)
    loaded = weights.load(spec, architecture, labels=labels, progress=progress.advance)
    check_label_count(loaded.labels, loaded.architecture.classes)
    return loaded


def _images(request: Request, loaded: Weights) -> tuple[Images | None, Images]:
    """Calibration and validation images; synthetic ones stand in for numerics, never for INT8."""
    calibration = None
    if request.calibration is not None:
        given = open_images(request.calibration, None, split="calibration")
        calibration = spread(given, request.calibration_images)
    if request.validation is not None:
        given = open_images(request.validation, loaded.labels, split="validation")
        return calibration, spread(given, request.validation_images)
    return calibration, SyntheticImages(side=max(loaded.preprocessing.crop))


def _weights_summary(loaded: Weights) -> str:
    architecture = loaded.architecture
    return (
        f"{architecture.name}, {architecture.parameters:,} parameters, "
        f"{architecture.classes} classes, from {loaded.source}"
    )


def _parity_summary(measurements: Measurements, verdict: Verdict) -> str:
    decisions = measurements.decisions
    text = f"{100 * decisions.top1_agreement:.2f} % of {decisions.images} decisions agree"
    if decisions.converted_top1 is not None:
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
