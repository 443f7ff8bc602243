"""The stages of a conversion in their one right order, composed and timed.

    weights → trace → fold → pixels → quantize or half → parity → latency → gate → deploy

Quantizing before folding, or deploying before the gate, cannot be written here. `convert` is the
Python entry; the command line composes the same call and prints.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_convert import deployment, measure
from resnet_convert.calibrate import Calibration, observe
from resnet_convert.conversion import Conversion
from resnet_convert.fold import fold
from resnet_convert.half import Half, halve
from resnet_convert.journey import Journey, Progress, Silent
from resnet_convert.layers import inspect
from resnet_convert.measure import Measurements
from resnet_convert.pixels import take_pixels
from resnet_convert.quantize import Quantization, activations, quantize
from resnet_convert.request import Request
from resnet_convert.trace import serialize, trace, verify
from resnet_serve import durable, host, weights
from resnet_serve.architectures import find
from resnet_serve.datasets import Images, check_label_count, open_images, read_labels
from resnet_serve.errors import ParityError
from resnet_serve.optional import optional
from resnet_serve.parity.gate import BUDGETS, Verdict, judge
from resnet_serve.runtimes import target
from resnet_serve.selection import spread
from resnet_serve.synthetic import SyntheticImages
from resnet_serve.triton.config import Serving
from resnet_serve.triton.repository import Repository
from resnet_serve.weights import Weights

if TYPE_CHECKING:
    import onnx_ir as ir
else:
    ir = optional("onnx_ir", extra="convert")

INSPECTED_IMAGES = 8


def convert(*, progress: Progress | None = None, **options: Any) -> Conversion:
    """Convert, prove and deploy; `options` are the fields of `Request`.

    Raises `ParityError` (nothing deployed) when the gate does not hold and `force` is not set.
    """
    return run(Request(**options), progress or Silent())


def run(request: Request, progress: Progress) -> Conversion:
    """The conversion of one request."""
    request.check()
    repository = Repository(request.repository)
    repository.check_writable()
    machine = host.describe()
    journey = Journey(progress)

    with journey.stage("weights") as say:
        loaded = _load_weights(request, progress)
        calibration_set, validation_set = _images(request, loaded)
        say(_weights_summary(loaded))
    if not loaded.trained:
        journey.warnings.append(
            f"{request.arch} is UNTRAINED: good for speed only, its decisions mean nothing"
        )

    network = loaded.network()
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

    calibration, quantization, half = _to_precision(
        request, model, loaded, calibration_set, journey
    )
    data = serialize(model)

    with journey.stage("parity") as say:
        measurements = measure.decisions(
            network, data, loaded, validation_set, request, machine.cores, progress
        )
        layers = inspect(
            folded,
            model,
            measure.inputs(spread(validation_set, INSPECTED_IMAGES), loaded, request),
            threads=machine.cores,
        )
        verdict = judge(
            BUDGETS[request.precision],
            measurements.numerics,
            measurements.decisions,
            trained=loaded.trained,
        )
        say(_parity_summary(measurements, verdict))

    with journey.stage("latency") as say:
        measurements = measure.latencies(
            measurements, network, data, loaded, request, machine.cores
        )
        say(_latency_summary(measurements))
    journey.warnings += measurements.warnings(request.precision)
    if request.precision == "int8" and not machine.fast_int8:
        journey.warnings.append(
            "this CPU has no VNNI: sums of u8 × s8 products may saturate, and INT8 may be slow"
        )

    conversion = Conversion(
        request=request,
        weights=loaded,
        target=target(request.target, request.precision),
        trace=traced,
        fold=folding,
        fold_numerics=fold_numerics,
        calibration=calibration,
        quantization=quantization,
        half=half,
        measurements=measurements,
        layers=layers,
        verdict=verdict,
        serving=Serving.fitting(
            cores=machine.cores,
            max_batch_size=request.max_batch_size,
            instances=request.instances,
        ),
        stages=tuple(journey.stages),
        warnings=tuple(journey.warnings),
        model_bytes=len(data),
        model_sha256=durable.sha256(data),
        host=machine,
        calibration_set=calibration_set,
        validation_set=validation_set,
    )
    if not verdict.passed and not request.force:
        raise refusal(conversion)
    with journey.stage("deploy") as say:
        version, path = deployment.deploy(conversion, data, repository)
        say(f"{request.model_name} version {version} in {repository.path}")
    return replace(conversion, version=version, path=path, stages=tuple(journey.stages))


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


def _to_precision(
    request: Request, model: ir.Model, loaded: Weights, images: Images | None, journey: Journey
) -> tuple[Calibration | None, Quantization | None, Half | None]:
    if request.precision == "fp16":
        with journey.stage("half") as say:
            half = halve(model)
            say(f"{half.tensors} tensors typed FP16, {half.flushed_to_zero} values became zero")
        return None, None, half
    if request.precision != "int8" or images is None:
        return None, None, None
    skipped = len(getattr(images, "skipped", ()))
    if skipped:
        journey.warnings.append(f"{skipped} files in {images.name} are no images and were skipped")
    with journey.stage("calibrate") as say:
        calibration = observe(
            model,
            activations(model),
            measure.inputs(images, loaded, request),
            threads=host.cores(),
            progress=lambda done: journey.progress.advance(done, len(images)),
        )
        say(f"{len(calibration.ranges)} ranges over {calibration.images} images")
    if calibration.few:
        journey.warnings.append(
            f"only {calibration.images} calibration images: rarer images may exceed the ranges; "
            "give 128 or more"
        )
    with journey.stage("quantize") as say:
        quantization = quantize(model, calibration.ranges)
        say(f"{quantization.layers} layers INT8, {quantization.activations} Q/DQ pairs")
    return calibration, quantization, None


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
    latency = measurements.converted_latency
    return (
        f"{latency.median_ms:.2f} ms at batch 1, {ratio.median:.1f}× PyTorch "
        f"[{ratio.low:.1f}–{ratio.high:.1f}]"
    )


def refusal(conversion: Conversion) -> ParityError:
    """The error of a gate that does not hold: which check, which image, which layer."""
    checks = "; ".join(
        f"{c.name} {c.found}, allowed {c.allowed}" for c in conversion.verdict.failures
    )
    decisions = conversion.measurements.decisions
    largest = max(conversion.measurements.numerics)
    worst_image = (
        decisions.changed[0]
        if decisions.changed
        else conversion.measurements.numerics[largest].worst
    )
    layer = conversion.worst_layer
    where = "" if layer is None else f"; worst layer {layer.name} (SQNR {layer.sqnr_db:.1f} dB)"
    return ParityError(
        f"parity is not met and nothing was deployed: {checks}; "
        f"worst image {conversion.validation_set.name_of(worst_image)}{where}",
        where=f"{conversion.name} {conversion.request.precision}",
        remedy="Calibrate with more or better images, take a higher precision, or --force it.",
    )
