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

from resnet_convert import contest as contests
from resnet_convert import deployment
from resnet_convert.build import Workshop, open_workshop, settle
from resnet_convert.conversion import Conversion
from resnet_convert.graph import finish, prepare
from resnet_convert.head import HEADS
from resnet_convert.journey import Journey, Progress, Silent
from resnet_convert.jury import Jury
from resnet_convert.precision import QUANTIZED
from resnet_convert.proof import prove
from resnet_convert.refusal import refusal
from resnet_convert.request import INFERRED, Request
from resnet_serve import class_names, durable, foreign_weights, host, weights
from resnet_serve.architectures import with_head
from resnet_serve.datasets import Images, check_label_count, open_images
from resnet_serve.errors import HostError
from resnet_serve.selection import spread
from resnet_serve.synthetic import SyntheticImages
from resnet_serve.triton.repository import Repository
from resnet_serve.weights import Weights


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
    journey = Journey(progress)
    journey.warnings += [] if note is None else [note]
    with _workshop(request) as (workshop, missing):
        if workshop is not None:
            warning = workshop.guard(request.build_options, request.precision, request.triton)
            journey.warnings += [] if warning is None else [warning]
        conversion, data = _convert(request, workshop, missing, journey)
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
    with journey.stage("deploy") as say:
        version, path = deployment.deploy(conversion, data, repository)
        say(f"{conversion.name} version {version} in {repository.path}")
    return replace(conversion, version=version, path=path, stages=tuple(journey.stages))


def _convert(
    request: Request, workshop: Workshop | None, missing: HostError | None, journey: Journey
) -> tuple[Conversion, bytes]:
    """Everything but the deployment; the ONNX file's bytes beside what was found."""
    machine = host.describe()
    with journey.stage("weights") as say:
        loaded = _load_weights(request, journey.progress)
        calibration_set, validation_set = _images(request, loaded)
        say(_weights_summary(loaded))
    if request.arch == INFERRED:
        request = replace(request, arch=loaded.architecture.name)
    journey.warnings += loaded.notices
    if not loaded.trained:
        journey.warnings.append(
            f"{loaded.architecture.name} is UNTRAINED: good for speed only, its "
            f"{'decisions' if request.classifies else HEADS[request.head]} mean nothing"
        )

    network = with_head(loaded.network(), request.head)
    folded = prepare(request, loaded, network, journey)
    contest = None
    if request.contested and contests.worth_holding(request, machine.cores):
        with journey.stage("contest") as say:
            contest = contests.hold(
                request,
                folded.model,
                network,
                loaded,
                calibration_set,
                validation_set,
                machine,
                journey,
            )
            say(f"{contest.winner.entrant} is the fastest for {contest.aim}")
        request = contests.settled(request, contest)
        advice = contest.advice()
        journey.warnings += [] if advice is None else [advice]
    elif request.contested:
        request = replace(request, target=request.row.name, precision=request.row.precisions[0])
    jury = None
    if request.budgeted and request.precision in QUANTIZED:
        jury = Jury.of(request, network, loaded, validation_set, machine.cores)
    made = contest.precise if contest is not None and jury is None else None
    graph = finish(folded, request, loaded, calibration_set, journey, jury, made)
    proof = prove(request, loaded, network, graph, validation_set, workshop, machine, journey)
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
        trace=folded.trace,
        fold=folded.fold,
        fold_numerics=folded.fold_numerics,
        calibration=graph.precise.calibration,
        trials=graph.precise.trials,
        repair=graph.precise.repair,
        quantization=graph.precise.quantization,
        half=graph.precise.half,
        measurements=measurements,
        layers=proof.layers,
        verdict=verdict,
        serving=request.serving(machine.cores),
        stages=tuple(journey.stages),
        warnings=tuple(dict.fromkeys(journey.warnings)),
        opset=graph.model.graph.opset_imports[""],
        ir_version=graph.model.ir_version,
        model_bytes=len(graph.data),
        model_sha256=durable.sha256(graph.data),
        host=machine,
        calibration_set=calibration_set,
        validation_set=validation_set,
        engine=proof.engine,
        peak_share=proof.peak_share,
        contest=contest,
        missing=missing,
    )
    return conversion, graph.data


@contextmanager
def _workshop(request: Request) -> Iterator[tuple[Workshop | None, HostError | None]]:
    """Who builds the plan here, or why nobody does; asked before minutes of work, not after."""
    if request.row.name != "tensorrt" or request.prepare_only:
        yield None, None
        return
    with open_workshop() as found:
        yield found


def _load_weights(request: Request, progress: Progress) -> Weights:
    labels = None if request.labels is None else class_names.resolve(request.labels)
    if request.module is not None:
        return foreign_weights.load(
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
