"""The stages of a conversion in their one right order, composed and timed.

    weights → (reference) → trace → fold → pixels → (autoselect) → precision → lint
            → (engine → inspect) → parity → latency → gate → deploy

`stages` has the table. `convert` is the Python entry; the command line calls `run` and prints.
`compare` puts every runtime and precision of this host in place of autoselect, and deploys the best
where it is told to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ParamSpec, TypeVar

from resnet_convert import deployment, precision
from resnet_convert.autoselect import measured
from resnet_convert.autoselect.comparison import Comparison
from resnet_convert.autoselect.entrants import Autoselection, has_alternatives
from resnet_convert.autoselect.gpu import Gpu
from resnet_convert.conversion import Conversion
from resnet_convert.folded import Folded, prepare
from resnet_convert.inputs import image_notices, load_weights, open_sets, untrained, weights_summary
from resnet_convert.parity import examples
from resnet_convert.parity.evaluator import for_budgets
from resnet_convert.parity.reference import Reference
from resnet_convert.proof import cautions, prove
from resnet_convert.reference_check.stage import Checked, check_reference, unchecked
from resnet_convert.refusals.refused import refused
from resnet_convert.request import Request
from resnet_convert.request.check import check
from resnet_convert.request.default_target import default_target
from resnet_convert.request.implied_network import implied_network
from resnet_convert.request.options import AUTO
from resnet_convert.stage_log import Progress, Silent, StageLog, StageName
from resnet_convert.stages import applies, runs_on_cuda
from resnet_convert.tensorrt.builder import BuildHost, TargetsHost, open_build_host
from resnet_serve import host
from resnet_serve.architectures import with_head
from resnet_serve.checkpoints.sources import hub
from resnet_serve.datasets import Images
from resnet_serve.errors import HostError, Note
from resnet_serve.host import Host
from resnet_serve.passport import EngineState
from resnet_serve.runtimes import onnxruntime_cuda
from resnet_serve.triton import rollout
from resnet_serve.triton.repository import Repository
from resnet_serve.triton.server import running
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
    if request.arch != AUTO or request.name is not None:
        repository.check_free(request.model_name)
    rollout.check_canary(repository, request.model_name, request.canary)
    log = StageLog(progress or Silent())
    log.warn(implied, note)
    with _build_host(request) as (build_host, missing):
        if isinstance(build_host, BuildHost) and request.makes_plan:
            log.warn(build_host.guard(request.build_options, request.precision, request.triton))
        prepared = _prepare(request, log)
        conversion = _prove(prepared, _autoselect(prepared, build_host, log), build_host, log)
    return _deploy(replace(conversion, missing=missing), repository, log)


@dataclass(frozen=True)
class Prepared:
    """What every precision and runtime starts from: the network, the images, the FP32 graph."""

    request: Request
    machine: Host
    weights: Weights
    calibration_set: Images | None
    validation_set: Images
    reference: Reference
    checked: Checked | None
    folded: Folded


@dataclass(frozen=True)
class Compared:
    """A comparison, what it started from, and the conversion that was deployed, if any."""

    prepared: Prepared
    comparison: Comparison
    warnings: tuple[str, ...]
    notes: tuple[Note, ...]
    conversion: Conversion | None = None


def compare(
    request: Request, progress: Progress | None = None, *, deploy_best: bool = False
) -> Compared:
    """Every runtime and precision of this host on one request; its own are not read.

    What cannot run, and what the gate refuses, are rows of the comparison. With `deploy_best` the
    fastest for `optimize` is proved and deployed; nothing is where no row passes.
    """
    request, implied = implied_network(replace(request, target=AUTO, precision=AUTO))
    check(request)
    repository = Repository(request.repository)
    if deploy_best:
        repository.check_writable()
    log = StageLog(progress or Silent())
    log.warn(implied)
    with _build_host(request) as (build_host, _):
        prepared = _prepare(request, log)
        comparison = measured.compare_all(
            prepared.request,
            prepared.folded.model,
            prepared.reference,
            prepared.calibration_set,
            prepared.validation_set,
            log,
            Gpu.found(build_host),
        )
        conversion = None
        if deploy_best and comparison.best is not None:
            selection = comparison.selection(comparison.best)
            conversion = _deploy(_prove(prepared, selection, build_host, log), repository, log)
    return Compared(prepared, comparison, *log.said(), conversion)


def _prepare(request: Request, log: StageLog) -> Prepared:
    """Everything before the precision."""
    machine = host.describe()
    with log.stage(StageName.WEIGHTS) as say:
        loaded = load_weights(request, log.progress)
        calibration_set, validation_set = open_sets(request, loaded)
        rest = unchecked(loaded, request.head, validation_set)
        loaded = replace(loaded, assumptions=(*loaded.assumptions, *rest))
        of_images = image_notices(request, loaded, calibration_set, validation_set)
        say(weights_summary(loaded))
    for each in loaded.assumptions:
        log.progress.note(str(each))
    if request.arch == AUTO:
        request = replace(request, arch=loaded.architecture.name)
    if hub.is_hub(request.weights or ""):  # the same commit again, wherever a branch has moved
        request = replace(request, weights=loaded.source.partition(" (")[0])
    log.warn(*loaded.notices, untrained(request, loaded), *of_images)

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
    return Prepared(
        request, machine, loaded, calibration_set, validation_set, reference, checked, folded
    )


def _autoselect(
    prepared: Prepared, build_host: BuildHost | TargetsHost | None, log: StageLog
) -> Autoselection | None:
    """The fastest of what the request leaves open; None where that is nothing."""
    if not prepared.request.autoselects:
        return None
    gpu = Gpu.found(build_host)
    if not has_alternatives(prepared.request, prepared.machine.cores, gpu):
        return None
    return measured.select(
        prepared.request,
        prepared.folded.model,
        prepared.reference,
        prepared.calibration_set,
        prepared.validation_set,
        log,
        gpu,
    )


def _prove(
    prepared: Prepared,
    autoselection: Autoselection | None,
    build_host: BuildHost | TargetsHost | None,
    log: StageLog,
) -> Conversion:
    """The graph in its precision, selected or made now, against the reference."""
    request, folded, reference = prepared.request, prepared.folded, prepared.reference
    validation_set, found = prepared.validation_set, None
    if autoselection is not None:
        found = autoselection.measured(validation_set)
        request, precise = autoselection.applied_to(request), autoselection.precise
        log.warn(autoselection.advice())
    else:
        if request.autoselects:
            row = request.row
            request = replace(request, target=row.name, precision=row.precisions[0]).decided()
        evaluator = for_budgets(request, reference, validation_set)
        images = prepared.calibration_set
        precise = precision.bring(folded.model, request, reference, images, log, evaluator)
    if not request.makes_plan:  # it was opened for a comparison that another target has won
        build_host = None
    precision.check_rules(precise, request, log)
    proof = prove(request, reference, folded.model, precise, validation_set, build_host, log, found)
    busy = None if autoselection is None else autoselection.not_stated
    log.warn(*cautions(request, proof, prepared.machine, busy))
    warnings, notes = log.said()
    return Conversion(
        request=request,
        weights=prepared.weights,
        folded=folded,
        precise=precise,
        proof=proof,
        autoselection=autoselection,
        serving=proof.served(request.serving(prepared.machine.cores)),
        patch=request.read_patch(prepared.machine.cores),
        stages=tuple(log.stages),
        warnings=warnings,
        notes=notes,
        host=prepared.machine,
        calibration_set=prepared.calibration_set,
        validation_set=validation_set,
        reference_check=prepared.checked,
        examples=examples.record(reference, validation_set),
    )


def _deploy(conversion: Conversion, repository: Repository, log: StageLog) -> Conversion:
    """Write it to the repository where the gate holds; raises `ParityError` where it does not."""
    if not conversion.verdict.passed and not conversion.request.force:
        raise refused(replace(conversion, stages=tuple(log.stages)))
    repository.check_free(conversion.name)
    with log.stage(StageName.DEPLOY) as say:
        server, name, canary = running(repository.path), conversion.name, conversion.request.canary
        at_once = server is None and canary is None
        version, path = deployment.deploy(conversion, repository, serve=at_once)
        served_at = None
        if not at_once and conversion.engine_state is not EngineState.NOT_BUILT:
            served_at = rollout.bring(server, repository, name, version, log.tell, canary)
        where = "" if served_at is None else f", served at {served_at}"
        say(f"{name} version {version} in {repository.path}{where}")
    return replace(
        conversion, version=version, path=path, served_at=served_at, stages=tuple(log.stages)
    )


@contextmanager
def _build_host(
    request: Request,
) -> Iterator[tuple[BuildHost | TargetsHost | None, HostError | None]]:
    """The host that builds the plan, or why there is none; checked before minutes of work.

    Where the target is open, the host is for the comparison, and none is needed. Raises `HostError`
    where only a package is missing, and where a GPU is here that `--accelerator cuda` could not run
    the model on.
    """
    if request.autoselects:
        with open_build_host() as (opened, _):
            yield opened, None
        return
    if runs_on_cuda(request):
        onnxruntime_cuda.check_installed()
    flavour = request.flavour
    if flavour is None or request.prepare_only:
        yield None, None
        return
    if flavour.targets:
        yield TargetsHost.open(flavour, request.built_for), None
        return
    with open_build_host() as found:
        yield found
