"""Compose: deployed members ─► one model that averages them, proved against PyTorch and deployed.

    open members ─► average (ONNX) ─► parity in process ─► Triton ensembles of the members' models

Members are neither copied nor changed: they keep serving under their own names. The gate is that of
a conversion, on averaged probabilities, with the loosest of the members' budgets.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnet_convert.ensembles import members
from resnet_convert.ensembles.average import average
from resnet_convert.ensembles.composition import Composed, ComposedReference, Composition
from resnet_convert.ensembles.deployment import ComposedModel, deploy
from resnet_convert.graph import model_file
from resnet_convert.parity import examples
from resnet_convert.parity.candidate import Candidate
from resnet_convert.parity.compare import compare
from resnet_convert.parity.parity_error import Subject, gate_error
from resnet_convert.refusals.next_request import after_converting_again
from resnet_convert.stage_log import Progress, Silent, StageLog, StageName
from resnet_convert.validation import decided_names, open_validation
from resnet_serve import composed, durable, host
from resnet_serve.crops import TenCrop
from resnet_serve.datasets import Images, survey
from resnet_serve.datasets.selection import spread
from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.errors import UsageError
from resnet_serve.parity import gate
from resnet_serve.precisions import find
from resnet_serve.triton import rollout
from resnet_serve.triton.repository import Repository, check_name
from resnet_serve.triton.server import running

_EXAMPLES = 4  # of ten crops at five scales, each is 50 images


@dataclass(frozen=True)
class _Options:
    """How a composition is proved and deployed; `words` are its command without `--validation`."""

    repository: Repository
    progress: Progress
    validation: str | None
    validation_images: int | None
    force: bool
    canary: str | None
    words: tuple[str, ...]

    @property
    def command(self) -> str:
        """The command line that makes the same composition again."""
        given = {"--validation": self.validation, "--validation-images": self.validation_images}
        pairs = [(name, str(value)) for name, value in given.items() if value is not None]
        return shlex.join(["resnet-convert", *self.words, *itertools.chain(*pairs)])


def ensemble(
    name: str,
    names: Sequence[str],
    progress: Progress | None = None,
    *,
    repository: Path | str = Path("model_repository"),
    validation: str | None = None,
    validation_images: int | None = None,
    force: bool = False,
    canary: str | None = None,
) -> ComposedModel:
    """Deploy `name` and `<name>_image`, whose output is the average of the members' probabilities.

    Members that prepare their images differently make `<name>_image` alone. With `canary`, as in
    "10%", it gets that share of the requests beside the served version. Raises `UsageError` for
    members that do not fit together, `ParityError` (nothing deployed) when the gate does not hold.
    """
    opened = Repository(repository)
    if len(names) < 2:
        raise UsageError("an ensemble has two members or more")
    found = members.open_members(opened, names)
    members.refuse_other_classes(found)
    composition = Composition(name, found)
    words = ["ensemble", name, *names, "--repository", str(repository)]
    options = _Options(
        opened, progress or Silent(), validation, validation_images, force, canary, tuple(words)
    )
    return _compose(composition, options)


def ten_crop(
    member: str,
    progress: Progress | None = None,
    *,
    scales: Sequence[int] = (),
    name: str | None = None,
    repository: Path | str = Path("model_repository"),
    validation: str | None = None,
    validation_images: int | None = None,
    force: bool = False,
    canary: str | None = None,
) -> ComposedModel:
    """Deploy `<member>_tencrop`: an encoded image in, the average over ten crops per scale out.

    Without `scales` the images are resized as the member's weights want it. Raises as `ensemble`.
    """
    opened = Repository(repository)
    found = members.open_members(opened, [member])
    crops = TenCrop(found[0].preprocessing, tuple(scales) or (found[0].preprocessing.shorter_side,))
    members.refuse_short_queue(found[0], len(crops))
    composition = Composition(name or f"{member}_tencrop", found, crops)
    words = ["ten-crop", member]
    words += ["--scales", ",".join(map(str, scales))] if scales else []
    words += [] if name is None else ["--name", name]
    words += ["--repository", str(repository)]
    options = _Options(
        opened, progress or Silent(), validation, validation_images, force, canary, tuple(words)
    )
    return _compose(composition, options)


def _compose(composition: Composition, options: _Options) -> ComposedModel:
    repository, canary = options.repository, options.canary
    _check_free(composition, repository)
    repository.check_writable()
    rollout.check_canary(repository, composition.served[0], canary)
    log = StageLog(options.progress)
    if composition.difference is not None:
        log.warnings.append(
            f"{composition.name} itself is not made, only {composition.name}_image: "
            f"{composition.difference}"
        )
    if not composition.trained:
        log.warnings.append("a member is UNTRAINED: the predictions mean nothing")
    images = _images(composition, options)
    log.warn(*survey.notices(images, decided_names(composition.labels, composition.activation)))
    classes, activation = len(composition.labels), composition.activation
    model = average(len(composition.view_members), classes, activation)
    model_file.check(model, where=f"{composition.name}_average")
    threads = host.cores()
    with log.stage(StageName.PARITY) as say, Composed(composition, model, threads) as files:
        runtime = ", ".join(dict.fromkeys(each.runtime for each in files.executions.values()))
        emulated = {name: each.emulated for name, each in files.executions.items() if each.emulated}
        log.warn(_emulation(emulated))
        found = compare(
            ComposedReference(composition, threads),
            Candidate(files, runtime),
            images,
            log.progress,
        )
        budget = gate.loosest(
            [
                member.passport.gate.budget or find(member.passport.precision).budget
                for member in composition.members
            ]
        )
        verdict = found.verdict(budget, trained=composition.trained)
        say(f"{verdict.headline}: {found.summary}")
    command = options.command
    subject = Subject(
        images,
        composition.labels,
        composition.activation,
        composition.trained,
        tuple(log.warnings),
    )
    if not verdict.passed and not options.force:
        made_by = [member.passport.command for member in composition.members]
        raise gate_error(
            "nothing was deployed",
            verdict,
            found,
            subject,
            where=composition.name,
            next_command=after_converting_again(made_by, verdict, command),
            otherwise="Give --validation images, or --force it.",
        )
    made = ComposedModel(
        composition=composition,
        examples=examples.record(ComposedReference(composition, threads), images, _EXAMPLES),
        measurements=found,
        verdict=verdict,
        average_sha256=durable.sha256(model),
        emulated=frozenset(emulated),
        warnings=tuple(log.warnings),
        stages=tuple(log.stages),
        command=f"{command} --force" if options.force else command,
        subject=subject,
    )
    with log.stage(StageName.DEPLOY) as say:
        server, name = running(repository.path), composition.served[0]
        at_once = server is None and canary is None
        version, path = deploy(made, model, repository, serve=at_once)
        served_at = None
        if not at_once:
            served_at = rollout.bring(server, repository, name, version, log.tell, canary)
        say(f"{', '.join(composition.served)} version {version} in {repository.path}")
    return replace(made, version=version, path=path, served_at=served_at, stages=tuple(log.stages))


def _emulation(reasons: Mapping[str, str]) -> str | None:
    """The warning that members did not run as they are served, with the reasons; None without."""
    if not reasons:
        return None
    each = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return (
        "members emulated in ONNX Runtime from their graphs, what serves them on a GPU never ran "
        f"here ({each})"
    )


def _check_free(composition: Composition, repository: Repository) -> None:
    """A converted model must not be replaced, nor part of an earlier composition be left behind."""
    name = composition.name
    check_name(name)
    found = repository.deployed()
    taken = {each.name for each in found if not composed.members(each.passport)}
    taken |= {f"{each}{suffix}" for each in taken for suffix in ("_image", "_preprocess")}
    for suffix in ("", "_image", "_preprocess", "_average"):
        if f"{name}{suffix}" in taken:
            raise UsageError(
                f"{name}{suffix} belongs to a converted model",
                remedy="Give the new one another name.",
            )
    for other in (name, f"{name}_image"):
        if other not in composition.served and repository.versions(other):
            raise UsageError(
                f"{other} is there from an earlier composition, and would not be made again",
                remedy="Give the new one another name, or remove the old one.",
            )


def _images(composition: Composition, options: _Options) -> Images:
    """Validation images; synthetic ones stand in for the numerics."""
    if options.validation is None:
        return SyntheticImages(side=composition.largest_side)
    given = open_validation(options.validation, composition.labels, composition.activation)
    return spread(given, options.validation_images)
