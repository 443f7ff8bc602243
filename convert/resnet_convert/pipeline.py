"""The stages of a conversion in their one right order, composed and timed.

    weights → trace → fold → pixels → (autoselect) → precision → lint → (engine → inspect)
            → parity → latency → gate → deploy

`stages` has the table. `convert` is the Python entry; the command line calls `run` and prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from resnet_convert import autoselect, deployment, precision, validation
from resnet_convert.conversion import Conversion
from resnet_convert.folded import prepare
from resnet_convert.head import HEADS
from resnet_convert.parity.evaluator import IMAGES, Evaluator
from resnet_convert.parity.parity_error import parity_error
from resnet_convert.parity.reference import Reference
from resnet_convert.parity.reference_outputs import ReferenceOutputs
from resnet_convert.proof import cautions, prove
from resnet_convert.request import Request
from resnet_convert.request.check import check
from resnet_convert.request.default_target import default_target
from resnet_convert.request.implied_network import implied_network
from resnet_convert.request.loading import load_weights
from resnet_convert.request.options import AUTO
from resnet_convert.stage_log import Progress, Silent, StageLog, StageName
from resnet_convert.tensorrt.builder import BuildHost, open_build_host
from resnet_serve import host
from resnet_serve.architectures import with_head
from resnet_serve.checkpoints.sources import hub
from resnet_serve.datasets import Images, open_images
from resnet_serve.datasets.selection import spread
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.errors import HostError
from resnet_serve.triton.repository import Repository
from resnet_serve.weights import Weights, activations

OptionsT = ParamSpec("OptionsT")
ResultT = TypeVar("ResultT")


def _options_of(
    _: Callable[OptionsT, object],
) -> Callable[[Callable[..., ResultT]], Callable[OptionsT, ResultT]]:
    """Give a function the parameters of another one, for type checkers."""
    return lambda function: function


@_options_of(Request)
def convert(*options: Any, **named: Any) -> Conversion:
    """Convert, prove and deploy; the arguments are the fields of `Request`.

    Raises `ParityError` (nothing deployed) when the gate does not hold and `force` is not set.
    With the target "tensorrt" on a host that cannot build plans, the conversion comes back with
    `missing` set: everything is deployed but the plan. `run` also takes progress callbacks.
    """
    return run(Request(*options, **named))


def run(request: Request, progress: Progress | None = None) -> Conversion:
    """The conversion of one request; raises as `convert`."""
    request, implied = implied_network(request)
    request, note = default_target(request)
    check(request)
    repository = Repository(request.repository)
    repository.check_writable()
    log = StageLog(progress or Silent())
    log.warn(implied, note)
    with _build_host(request) as (build_host, missing):
        if build_host is not None:
            log.warn(build_host.guard(request.build_options, request.precision, request.triton))
        conversion = replace(_convert(request, build_host, log), missing=missing)
    if not conversion.verdict.passed and not request.force:
        raise parity_error(
            "nothing was deployed",
            conversion.verdict,
            conversion.measurements,
            conversion.validation_set.name_of,
            where=f"{conversion.name} {conversion.request.precision}",
            remedy="Calibrate with more or better images or --calibration-method auto, take a "
            "higher precision, or --force it.",
            layer=conversion.proof.worst_layer,
        )
    with log.stage(StageName.DEPLOY) as say:
        version, path = deployment.deploy(conversion, repository)
        say(f"{conversion.name} version {version} in {repository.path}")
    return replace(conversion, version=version, path=path, stages=tuple(log.stages))


def _convert(request: Request, build_host: BuildHost | None, log: StageLog) -> Conversion:
    """Everything but the deployment."""
    machine = host.describe()
    with log.stage(StageName.WEIGHTS) as say:
        loaded = _decided(request, load_weights(request, log.progress.advance))
        calibration_set, validation_set = _images(request, loaded)
        say(_weights_summary(loaded))
    for each in loaded.assumptions:
        log.progress.note(str(each))
    if request.arch == AUTO:
        request = replace(request, arch=loaded.architecture.name)
    if hub.is_hub(request.weights or ""):  # the same commit again, wherever a branch has moved
        request = replace(request, weights=loaded.source.partition(" (")[0])
    log.warn(*loaded.notices, _untrained(request, loaded))

    network = with_head(loaded.network(), request.head)
    reference = Reference(network, loaded, request.input, machine.cores, request.head)
    folded = prepare(request, reference, log)
    autoselection = None
    if autoselect.has_alternatives(request, machine.cores):
        autoselection = autoselect.select(
            request, folded.model, reference, calibration_set, validation_set, log
        )
        request = autoselection.applied_to(request)
        log.warn(autoselection.advice())
    elif request.autoselects:
        request = replace(request, target=request.row.name, precision=request.row.precisions[0])
    evaluator = _evaluator(request, reference, validation_set)
    precise = None if autoselection is None or evaluator else autoselection.precise
    if precise is None:
        precise = precision.bring(folded.model, request, reference, calibration_set, log, evaluator)
    precision.check_rules(precise, request, log)
    proof = prove(request, reference, folded.model, precise, validation_set, build_host, log)
    log.warn(*cautions(request, proof.measurements, machine))
    return Conversion(
        request=request,
        weights=loaded,
        folded=folded,
        precise=precise,
        proof=proof,
        autoselection=autoselection,
        serving=request.serving(machine.cores),
        stages=tuple(log.stages),
        warnings=tuple(dict.fromkeys(log.warnings)),
        host=machine,
        calibration_set=calibration_set,
        validation_set=validation_set,
    )


@contextmanager
def _build_host(request: Request) -> Iterator[tuple[BuildHost | None, HostError | None]]:
    """The host that builds the plan, or why there is none; checked before minutes of work."""
    if not request.makes_plan or request.prepare_only:
        yield None, None
        return
    with open_build_host() as found:
        yield found


def _decided(request: Request, loaded: Weights) -> Weights:
    """The weights with their activation, where they have logits."""
    if not request.classifies:
        return loaded
    return activations.decide(
        loaded,
        kind=request.activation,
        threshold=request.threshold,
        images=validation.labelling(request.validation),
    )


def _images(request: Request, loaded: Weights) -> tuple[Images | None, Images]:
    """Calibration and validation images; synthetic ones replace missing validation images only."""
    calibration = None
    if request.calibration is not None:
        given = open_images(request.calibration, None, split="calibration")
        calibration = spread(given, request.calibration_images)
    if request.validation is not None:
        # Of images that are only to be embedded, the folders need not be the network's classes.
        given = (
            validation.open_validation(request.validation, loaded.labels, loaded.activation)
            if request.classifies
            else open_images(request.validation, None, split=validation.SPLIT)
        )
        return calibration, spread(given, request.validation_images)
    return calibration, SyntheticImages(side=max(loaded.preprocessing.crop))


def _evaluator(request: Request, reference: Reference, images: Images) -> Evaluator | None:
    """For budgets: over at most 512 of the images, evenly chosen."""
    if not (request.budgeted and request.precision_row.quantized):
        return None
    recorded = ReferenceOutputs.record(reference, spread(images, IMAGES))
    return Evaluator(
        recorded,
        "onnxruntime" if request.for_tensorrt else request.row.name,
        request.precision,
        reference.threads,
        emulating=request.for_tensorrt,
    )


def _weights_summary(loaded: Weights) -> str:
    architecture = loaded.architecture
    assumed = ", ".join(each.subject for each in loaded.assumptions)
    return (
        f"{architecture.name}, {architecture.parameters:,} parameters, "
        f"{_outputs(loaded)}, from {loaded.source}" + (f"; assumed: {assumed}" if assumed else "")
    )


def _outputs(loaded: Weights) -> str:
    """The classes, and how they are decided unless for one of them."""
    count, activation = loaded.architecture.classes, loaded.activation
    if activation.decides_classes:
        return f"{count} classes"
    return f"{count} output{'' if count == 1 else 's'} ({activation})"


def _untrained(request: Request, loaded: Weights) -> str | None:
    if loaded.trained:
        return None
    outputs = "decisions" if request.classifies else HEADS[request.head]
    return (
        f"{loaded.architecture.name} is UNTRAINED: good for speed only, its {outputs} mean nothing"
    )
