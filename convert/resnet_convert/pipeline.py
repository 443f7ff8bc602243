"""The stages of a conversion in their one right order, composed and timed.

    weights → (reference) → trace → fold → pixels → (autoselect) → precision → lint
            → (engine → inspect) → parity → latency → gate → deploy

`stages` has the table. `convert` is the Python entry; the command line calls `run` and prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from resnet_convert import deployment, precision
from resnet_convert.autoselect import measured
from resnet_convert.autoselect.entrants import has_alternatives
from resnet_convert.conversion import Conversion
from resnet_convert.folded import prepare
from resnet_convert.head import HEADS
from resnet_convert.inputs import image_notices, load_weights, open_sets, weights_summary
from resnet_convert.parity.evaluator import IMAGES, Evaluator
from resnet_convert.parity.reference import Reference
from resnet_convert.parity.reference_outputs import ReferenceOutputs
from resnet_convert.proof import cautions, prove
from resnet_convert.reference_check.stage import check_reference
from resnet_convert.refusals.refused import refused
from resnet_convert.request import Request
from resnet_convert.request.check import check
from resnet_convert.request.default_target import default_target
from resnet_convert.request.implied_network import implied_network
from resnet_convert.request.options import AUTO
from resnet_convert.stage_log import Progress, Silent, StageLog, StageName
from resnet_convert.stages import applies
from resnet_convert.tensorrt.builder import BuildHost, open_build_host
from resnet_serve import host
from resnet_serve.architectures import with_head
from resnet_serve.checkpoints.sources import hub
from resnet_serve.datasets import Images
from resnet_serve.datasets.selection import spread
from resnet_serve.errors import HostError
from resnet_serve.triton.repository import Repository
from resnet_serve.weights import Weights

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
        raise refused(replace(conversion, stages=tuple(log.stages)))
    with log.stage(StageName.DEPLOY) as say:
        version, path = deployment.deploy(conversion, repository)
        say(f"{conversion.name} version {version} in {repository.path}")
    return replace(conversion, version=version, path=path, stages=tuple(log.stages))


def _convert(request: Request, build_host: BuildHost | None, log: StageLog) -> Conversion:
    """Everything but the deployment."""
    machine = host.describe()
    with log.stage(StageName.WEIGHTS) as say:
        loaded = load_weights(request, log.progress)
        calibration_set, validation_set = open_sets(request, loaded)
        of_images = image_notices(request, loaded, calibration_set, validation_set)
        say(weights_summary(loaded))
    for each in loaded.assumptions:
        log.progress.note(str(each))
    if request.arch == AUTO:
        request = replace(request, arch=loaded.architecture.name)
    if hub.is_hub(request.weights or ""):  # the same commit again, wherever a branch has moved
        request = replace(request, weights=loaded.source.partition(" (")[0])
    log.warn(*loaded.notices, _untrained(request, loaded), *of_images)

    network = with_head(loaded.network(), request.head)
    reference = Reference(network, loaded, request.input, machine.cores, request.head)
    checked = None
    if applies(StageName.REFERENCE, request):
        checked = check_reference(
            reference,
            validation_set,
            log,
            expected=request.expect_top1,
            force=request.force,
        )
    folded = prepare(request, reference, log)
    autoselection = None
    if has_alternatives(request, machine.cores):
        autoselection = measured.select(
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
        reference_check=checked,
    )


@contextmanager
def _build_host(request: Request) -> Iterator[tuple[BuildHost | None, HostError | None]]:
    """The host that builds the plan, or why there is none; checked before minutes of work."""
    if not request.makes_plan or request.prepare_only:
        yield None, None
        return
    with open_build_host() as found:
        yield found


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


def _untrained(request: Request, loaded: Weights) -> str | None:
    if loaded.trained:
        return None
    outputs = "decisions" if request.classifies else HEADS[request.head]
    return (
        f"{loaded.architecture.name} is UNTRAINED: good for speed only, its {outputs} mean nothing"
    )
