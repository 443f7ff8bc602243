"""A conversion without its computation: its stages, what each needs, and how it would end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from resnet_convert.autoselect.entrants import entrants_here
from resnet_convert.inputs import (
    image_notices,
    load_weights,
    open_calibration,
    open_validation,
    weights_summary,
)
from resnet_convert.reference_check.stage import refuse_expectation, unknown_top1
from resnet_convert.request import Request
from resnet_convert.request.check import check
from resnet_convert.request.default_target import default_target
from resnet_convert.request.implied_network import implied_network
from resnet_convert.request.options import AUTO
from resnet_convert.stage_log import Silent, StageName
from resnet_convert.stages import Stage, check_packages, packages_of, planned, runs_on_cuda
from resnet_convert.tensorrt.builder import open_build_host
from resnet_serve import host
from resnet_serve.architectures import catalog
from resnet_serve.checkpoints import files
from resnet_serve.checkpoints.reading import SHIPPED, cached, is_address, is_file
from resnet_serve.checkpoints.sources import headers, hub
from resnet_serve.datasets import Images, built_in, open_images, survey
from resnet_serve.download import torch_hub_checkpoints
from resnet_serve.errors import HostError, ResnetServeError
from resnet_serve.preprocessing import ImageError
from resnet_serve.runtimes import onnxruntime_cuda
from resnet_serve.triton.repository import Repository
from resnet_serve.weights import Weights, class_names

Status = Literal["here", "download", "missing", "refused"]


@dataclass(frozen=True)
class Step:
    """A stage, what it does in this conversion, what it needs, and where that is."""

    stage: str
    does: str
    needs: str
    status: Status

    def to_json(self) -> dict[str, object]:
        """The fields, by name."""
        return asdict(self)


@dataclass(frozen=True)
class DryRun:
    """The steps of a conversion, and the errors that it would end with, one after the other.

    `notices` are sentences on what the options imply, and on the image files.
    """

    request: Request
    steps: tuple[Step, ...]
    problems: tuple[ResnetServeError, ...]
    notices: tuple[str, ...]


def dry_run(request: Request, *, deploys: bool = True) -> DryRun:
    """Everything that a conversion would check, without its computation.

    Reads the checkpoint, the folders and the files that the options name, makes the network of a
    `--module`, and tries the repository. Writes nothing, downloads no tensors and runs no code of a
    pickle. A comparison `deploys` nothing. Raises `UsageError` for what cannot be carried out.
    """
    request, note = implied_network(request)
    request, _ = default_target(request)
    check(request)
    found = _Found(request, deploys)
    problems = {str(each): each for each in map(_problem, found.checks()) if each is not None}
    rows = [row for row in planned(found.request) if deploys or row.name is not StageName.DEPLOY]
    steps = tuple(found.marked(_step(row, found.request)) for row in rows)
    notices = tuple(filter(None, (note, *found.notices)))
    return DryRun(request, steps, tuple(problems.values()), notices)


def _problem(check_one: Callable[[], None]) -> ResnetServeError | None:
    try:
        check_one()
    except ResnetServeError as error:
        return error
    return None


class _Found:
    """What the checks find, in the order in which a conversion would meet it."""

    def __init__(self, request: Request, deploys: bool) -> None:
        self.request = request
        self.deploys = deploys
        self.loaded: Weights | None = None
        self.calibration: Images | None = None
        self.validation: Images | None = None
        self.names: tuple[str, ...] = ()
        self.notices: tuple[str, ...] = ()
        self.texts: dict[str, str] = {}
        self.failed: dict[str, Status] = {}

    def checks(self) -> Iterator[Callable[[], None]]:
        """Every check; one that fails raises what the conversion would."""
        if self.deploys:
            yield self._in(StageName.DEPLOY, self._repository)
        yield self._in(StageName.WEIGHTS, self._weights)
        if StageName.WEIGHTS not in self.failed:
            yield self._in(StageName.CALIBRATE, self._calibration)
            yield self._in(StageName.PARITY, self._validation)
            yield self._survey
        yield self._in(StageName.REFERENCE, self._expectation)
        for row in planned(self.request):
            yield self._in(row.name, partial(check_packages, row, self.request))
        yield self._in(StageName.ENGINE, self._plan)

    def marked(self, step: Step) -> Step:
        """A step with what was found of it."""
        seen = step.status if step.status == "missing" else self.failed.get(step.stage, step.status)
        return replace(step, does=self.texts.get(step.stage, step.does), status=seen)

    def _in(self, stage: StageName, check_one: Callable[[], None]) -> Callable[[], None]:
        def noted() -> None:
            try:
                check_one()
            except ResnetServeError as error:
                self.failed[stage] = "missing" if isinstance(error, HostError) else "refused"
                raise

        return noted

    def _repository(self) -> None:
        repository = Repository(self.request.repository)
        repository.check_writable()
        if self.request.arch != AUTO or self.request.name is not None:
            repository.check_replaceable(self.request.model_name)

    def _weights(self) -> None:
        request = self.request
        if not self._readable(request.weights):
            return
        reading = replace(request, trust_pickle=False)
        self.loaded = load_weights(reading, Silent(), header=True)
        self.texts[StageName.WEIGHTS] = weights_summary(self.loaded)
        self.notices += self.loaded.notices
        if request.arch == AUTO:
            self.request = replace(request, arch=self.loaded.architecture.name)
            if self.deploys:
                Repository(request.repository).check_replaceable(self.request.model_name)

    def _readable(self, spec: str | None) -> bool:
        """Whether names and shapes can be seen; a notice says why not."""
        if spec is None or not is_file(spec):
            return _weights(self.request).status != "download"
        if hub.is_hub(spec):
            place = headers.needed(spec, files.IN_FOLDERS)
            if place is None or headers.has_header(place):
                return True
            self._unchecked(f"{place} has to be downloaded as a whole")
            return False
        if is_address(spec):
            if _weights(self.request).status != "download":
                return True
            self._unchecked(f"{spec} has to be downloaded")
            return False
        path = files.located(Path(spec))
        if self.request.trust_pickle and files.needs_code(path):
            self._unchecked(f"{path} is a pickle whose code a dry run does not run")
            return False
        return True

    def _unchecked(self, why: str) -> None:
        self.notices += (f"not checked: {why}, so that its names, shapes and classes are not seen",)

    def _calibration(self) -> None:
        self.calibration = open_calibration(self.request, self.loaded)
        if self.calibration is not None:
            self.texts[StageName.CALIBRATE] = f"{len(self.calibration):,} images"

    def _validation(self) -> None:
        request, loaded = self.request, self.loaded
        if loaded is not None:
            self.validation = open_validation(request, loaded)
        else:
            self.names = () if request.labels is None else class_names.resolve(request.labels)
            if request.validation is not None:
                names = self.names or None
                self.validation = open_images(request.validation, names, split="validation")
        if request.validation is not None and self.validation is not None:
            known = self.validation.labels is not None
            self.texts[StageName.PARITY] = (
                f"{len(self.validation):,} images, {'with' if known else 'without'} labels"
            )

    def _survey(self) -> None:
        """The files of both sets; one error names the damaged ones of both."""
        both = self.calibration, self.validation
        try:
            if self.loaded is not None:
                self.notices += image_notices(self.request, self.loaded, *both)
            else:
                self.notices += survey.notices(both[1], self.names, calibration=both[0])
        except ImageError:
            for stage, images in zip((StageName.CALIBRATE, StageName.PARITY), both, strict=True):
                if survey.damaged(images):
                    self.failed[stage] = "refused"
            raise

    def _expectation(self) -> None:
        loaded, images = self.loaded, self.validation
        if self.request.expect_top1 is not None and loaded is not None and images is not None:
            refuse_expectation(unknown_top1(loaded, self.request.head, images))

    def _plan(self) -> None:
        request = self.request
        if runs_on_cuda(request):
            onnxruntime_cuda.check_installed()
        if request.flavour is None or request.prepare_only:
            return
        if request.flavour.targets:
            request.flavour.library()
            return
        with open_build_host() as (_, missing):
            if missing is not None:
                raise HostError(
                    f"the plan of {request.model_name} cannot be built, the rest can be deployed: "
                    f"{missing.what}",
                    remedy="Give --prepare-only, and build the plan on the GPU host.",
                )


def _step(row: Stage, request: Request) -> Step:
    does = row.does(request)
    if row.name is StageName.WEIGHTS:
        return _weights(request)
    if row.name is StageName.CALIBRATE:
        return _images(row.name, does, request.calibration)
    if row.name is StageName.PARITY:
        return _images(row.name, does, request.validation)
    if row.name is StageName.DEPLOY:
        return Step(row.name, does, str(request.repository), "here")
    packages = packages_of(row, request)
    if row.name is StageName.AUTOSELECT:
        candidates = entrants_here(request, host.cores())
        does = f"{len(candidates)} entrants, for {request.optimize}"
        packages = tuple(dict.fromkeys(each.target for each in candidates))
    return Step(row.name, does, ", ".join(packages), _here(all(map(find_spec, packages))))


def _weights(request: Request) -> Step:
    spec, sha256 = request.weights_spec, request.weights_sha256
    kind, _, option = spec.partition(":")
    step = Step(StageName.WEIGHTS, "a checkpoint", spec, "here")
    if spec == request.module:
        return replace(step, does="as the module returns it")
    if kind == "imagenet" and request.architecture is not None:
        row = catalog.published(request.architecture.name, option or None)
        path = torch_hub_checkpoints() / row.file_name
        if path.is_file():
            return replace(step, does=f"ImageNet {row.version}, already here", needs=str(path))
        does = f"download {row.size_mib:.0f} MiB"
        return replace(step, does=does, needs=row.url, status="download")
    if kind == "random":
        present = find_spec("torch") is not None
        return replace(step, does="untrained, for speed only", needs="torch", status=_here(present))
    if spec in SHIPPED:
        return replace(step, does=f"trained on {SHIPPED[spec]}", needs="shipped")
    if hub.is_hub(spec):
        if hub.in_cache(spec):
            return replace(step, does="a checkpoint of the hub, already here")
        return replace(step, does="download from the Hugging Face Hub", status="download")
    if sha256 is not None and is_address(spec):
        path = cached(spec, sha256)
        if path.is_file():
            return replace(step, does="a checkpoint, already here", needs=str(path))
        return replace(step, does="download a checkpoint", status="download")
    return replace(step, status=_here(Path(spec).exists()))


def _images(stage: str, does: str, source: str | None) -> Step:
    if source is None:
        return Step(stage, f"{does} (no images given: numerics only)", "synthetic images", "here")
    named = built_in.find(source)
    if named is not None:
        return Step(stage, does, named.needs, _here(named.here()))
    return Step(stage, does, source, _here(Path(source).is_dir()))


def _here(present: bool) -> Status:
    return "here" if present else "missing"
