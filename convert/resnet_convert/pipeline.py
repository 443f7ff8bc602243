"""The stages of a conversion in their one right order, composed and timed.

    weights → trace → fold → pixels → precision → (lint → engine → inspect) → parity → latency
            → gate → deploy

Quantizing before folding, or deploying before the gate, cannot be written here. `convert` is the
Python entry; the command line composes the same call and prints.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from resnet_convert import autoselect, deployment
from resnet_convert.conversion import Conversion
from resnet_convert.head import HEADS
from resnet_convert.parity.evaluator import Evaluator
from resnet_convert.parity.parity_error import refusal
from resnet_convert.precision import QUANTIZED
from resnet_convert.proof import prove
from resnet_convert.request import INFERRED, Request
from resnet_convert.stage_log import Progress, Silent, StageLog
from resnet_convert.stages import finish, prepare
from resnet_convert.tensorrt.builder import BuildHost, open_build_host, settle
from resnet_serve import durable, host, weights
from resnet_serve.architectures import with_head
from resnet_serve.datasets import Images, check_label_count, open_images
from resnet_serve.datasets.selection import spread
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.errors import HostError
from resnet_serve.triton.repository import Repository
from resnet_serve.weights import Weights, class_names, custom_modules


def convert(*, progress: Progress | None = None, **options: Any) -> Conversion:
    """Convert, prove and deploy; `options` are the fields of `Request`.

    Raises `ParityError` (nothing deployed) when the gate does not hold and `force` is not set.
    With the target "tensorrt" on a host that cannot build plans, the conversion comes back with
    `missing` set: everything is deployed but the plan.
    """
    return run(Request(**options), progress or Silent())


def run(request: Request, progress: Progress) -> Conversion:
    """The conversion of one request."""
    request, note = settle(request)
    request.check()
    repository = Repository(request.repository)
    repository.check_writable()
    log = StageLog(progress)
    log.warnings += [] if note is None else [note]
    with _build_host(request) as (build_host, missing):
        if build_host is not None:
            warning = build_host.guard(request.build_options, request.precision, request.triton)
            log.warnings += [] if warning is None else [warning]
        conversion, data = _convert(request, build_host, missing, log)
    if not conversion.verdict.passed and not request.force:
        raise refusal(
            "nothing was deployed",
            conversion.verdict,
            conversion.measurements,
            conversion.validation_set.name_of,
            where=f"{conversion.name} {request.precision}",
            remedy="Calibrate with more or better images or --calibration-method auto, take a "
            "higher precision, or --force it.",
            layer=conversion.worst_layer,
        )
    with log.stage("deploy") as say:
        version, path = deployment.deploy(conversion, data, repository)
        say(f"{conversion.name} version {version} in {repository.path}")
    return replace(conversion, version=version, path=path, stages=tuple(log.stages))


def _convert(
    request: Request, build_host: BuildHost | None, missing: HostError | None, log: StageLog
) -> tuple[Conversion, bytes]:
    """Everything but the deployment; the ONNX file's bytes beside what was found."""
    machine = host.describe()
    with log.stage("weights") as say:
        loaded = _load_weights(request, log.progress)
        calibration_set, validation_set = _images(request, loaded)
        say(_weights_summary(loaded))
    if request.arch == INFERRED:
        request = replace(request, arch=loaded.architecture.name)
    log.warnings += loaded.notices
    if not loaded.trained:
        log.warnings.append(
            f"{loaded.architecture.name} is UNTRAINED: good for speed only, its "
            f"{'decisions' if request.classifies else HEADS[request.head]} mean nothing"
        )

    network = with_head(loaded.network(), request.head)
    folded = prepare(request, loaded, network, log)
    autoselection = None
    if request.autoselects and autoselect.has_alternatives(request, machine.cores):
        with log.stage("autoselect") as say:
            autoselection = autoselect.hold(
                request,
                folded.model,
                network,
                loaded,
                calibration_set,
                validation_set,
                machine,
                log,
            )
            say(f"{autoselection.winner.entrant} is the fastest for {autoselection.aim}")
        request = autoselect.settled(request, autoselection)
        advice = autoselection.advice()
        log.warnings += [] if advice is None else [advice]
    elif request.autoselects:
        request = replace(request, target=request.row.name, precision=request.row.precisions[0])
    evaluator = None
    if request.budgeted and request.precision in QUANTIZED:
        evaluator = Evaluator.of(request, network, loaded, validation_set, machine.cores)
    made = autoselection.precise if autoselection is not None and evaluator is None else None
    graph = finish(folded, request, loaded, calibration_set, log, evaluator, made)
    proof = prove(request, loaded, network, graph, validation_set, build_host, machine, log)
    measurements, verdict = proof.measurements, proof.verdict
    log.warnings += measurements.warnings(request.precision)
    if request.precision == "int8" and not request.for_tensorrt and not machine.fast_int8:
        log.warnings.append(
            "this CPU has no VNNI: sums of u8 × s8 products may saturate, and INT8 may be slow"
        )
    if request.precision == "fp8":
        log.warnings.append("FP8 is an experiment: no gain for ResNets has been published")

    conversion = Conversion(
        request=request,
        weights=loaded,
        target=request.row,
        trace=folded.trace,
        fold=folded.fold,
        fold_numerics=folded.fold_numerics,
        calibration=graph.precise.calibration,
        calibration_search=graph.precise.calibration_search,
        mixed_precision=graph.precise.mixed_precision,
        quantization=graph.precise.quantization,
        half=graph.precise.half,
        measurements=measurements,
        layers=proof.layers,
        verdict=verdict,
        serving=request.serving(machine.cores),
        stages=tuple(log.stages),
        warnings=tuple(dict.fromkeys(log.warnings)),
        opset=graph.model.graph.opset_imports[""],
        ir_version=graph.model.ir_version,
        model_bytes=len(graph.data),
        model_sha256=durable.sha256(graph.data),
        host=machine,
        calibration_set=calibration_set,
        validation_set=validation_set,
        engine=proof.engine,
        peak_share=proof.peak_share,
        autoselection=autoselection,
        missing=missing,
    )
    return conversion, graph.data


@contextmanager
def _build_host(request: Request) -> Iterator[tuple[BuildHost | None, HostError | None]]:
    """Who builds the plan here, or why nobody does; asked before minutes of work, not after."""
    if request.row.name != "tensorrt" or request.prepare_only:
        yield None, None
        return
    with open_build_host() as found:
        yield found


def _load_weights(request: Request, progress: Progress) -> Weights:
    labels = None if request.labels is None else class_names.resolve(request.labels)
    if request.module is not None:
        return custom_modules.load(
            request.module,
            request.weights,
            labels=labels,
            reading=request.reading,
            progress=progress.advance,
        )
    loaded = weights.load(
        request.weights_spec,
        request.architecture,
        labels=labels,
        reading=request.reading,
        progress=progress.advance,
    )
    check_label_count(loaded.labels, loaded.architecture.classes)
    return loaded


def _images(request: Request, loaded: Weights) -> tuple[Images | None, Images]:
    """Calibration and validation images; synthetic ones stand in for numerics, never for INT8."""
    calibration = None
    if request.calibration is not None:
        given = open_images(request.calibration, None, split="calibration")
        calibration = spread(given, request.calibration_images)
    if request.validation is not None:
        # Of images that are only to be embedded, the folders need not be the network's classes.
        labels = loaded.labels if request.classifies else None
        given = open_images(request.validation, labels, split="validation")
        return calibration, spread(given, request.validation_images)
    return calibration, SyntheticImages(side=max(loaded.preprocessing.crop))


def _weights_summary(loaded: Weights) -> str:
    architecture = loaded.architecture
    return (
        f"{architecture.name}, {architecture.parameters:,} parameters, "
        f"{architecture.classes} classes, from {loaded.source}"
    )
