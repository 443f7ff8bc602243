"""Deploy a composed model: ensembles, their average, labels and passport, in one swap.

ensemble   NAME_average   NAME (pixels)   NAME_image (encoded images)
ten-crop   NAME_average   NAME_preprocess (the crops)   NAME (encoded images)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resnet_convert.ensembles.composition import Composition
from resnet_convert.graph.opset import IR_VERSION, OPSET
from resnet_convert.parity.compare import Measurements
from resnet_convert.parity.parity_error import Subject
from resnet_convert.stage_log import StageTime
from resnet_serve import crops, host, passport
from resnet_serve.parity.verdict import Verdict
from resnet_serve.passport import (
    AverageFacts,
    ComposedPassport,
    ContractFacts,
    CropFacts,
    GateFacts,
    ParityFacts,
    SpeedFacts,
    WeightsFacts,
)
from resnet_serve.triton import composed_config, config
from resnet_serve.triton.composed_config import (
    AVERAGE_FILE,
    logits_name,
    outputs,
    pixels_name,
)
from resnet_serve.triton.config import INPUT, NEWEST, OUTPUT, PIXELS, Serving, Step
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.repository import ModelFiles, Repository, examples, whole
from resnet_serve.triton.repository.examples import Examples
from resnet_serve.triton.repository.versions import PREPROCESSING_FILE


@dataclass(frozen=True)
class ComposedModel:
    """A composed model that was proved and deployed.

    `emulated` are the members whose engines did not run while it was proved, `subject` is what was
    compared, `examples` a few images with PyTorch's average, `served_at` the running server that
    changed to it.
    """

    composition: Composition
    measurements: Measurements
    examples: Examples
    verdict: Verdict
    average_sha256: str
    emulated: frozenset[str]
    warnings: tuple[str, ...]
    stages: tuple[StageTime, ...]
    command: str
    subject: Subject
    version: int | None = None
    path: Path | None = None
    served_at: str | None = None


def deploy(
    made: ComposedModel, average: bytes, repository: Repository, *, serve: bool = True
) -> tuple[int, Path]:
    """Write one version of every model of the composition; returns it, and the passport's place.

    It is the served one then, unless `serve` is False and another version is served.
    """
    parts = _parts(made)
    first, *rest = (*parts.models(), parts.average(average))
    kept = {**first.version_files, examples.FILE_NAME: made.examples.to_bytes()}
    files = [replace(first, version_files=kept), *rest]
    document = replace(stamp(made), files=whole.hashes(files))
    models = [
        replace(first, version_files={**kept, passport.FILE_NAME: document.to_bytes()}),
        *rest,
    ]
    version = repository.deploy(models, serve=serve)
    return version, repository.directory(made.composition.served[0]) / str(version)


def stamp(made: ComposedModel) -> ComposedPassport:
    """The passport of a composed model."""
    composition = made.composition
    members = [member.passport for member in composition.members]
    return ComposedPassport(
        name=composition.name,
        kind=composition.kind,
        rule=composition.rule,
        members=tuple(
            member.facts(emulated=member.name in made.emulated) for member in composition.members
        ),
        crops=None
        if composition.crops is None
        else CropFacts(scales=composition.crops.scales, per_scale=crops.PER_SCALE),
        architecture=_joined([each.architecture for each in members]),
        precision=_joined([each.precision for each in members]),
        target=_joined([each.target for each in members]),
        classes=len(composition.labels),
        parameters=sum(each.parameters for each in members),
        weights=WeightsFacts(trained=composition.trained),
        command=made.command,
        host=host.describe(),
        model=AverageFacts(
            name=f"{composition.name}_average",
            file=AVERAGE_FILE,
            sha256=made.average_sha256,
            opset=OPSET,
            ir_version=IR_VERSION,
        ),
        engine=None,
        contract=ContractFacts(
            max_batch_size=_serving(composition).max_batch_size,
            activation=composition.activation,
        ),
        parity=ParityFacts.measured(made.measurements),
        latency=SpeedFacts(speedup=None),
        gate=GateFacts.decided(made.verdict),
        warnings=made.warnings,
    )


def result(made: ComposedModel) -> dict[str, Any]:
    """What `--json` prints: the passport's facts, and the names that clients ask for."""
    return {
        **stamp(made).facts(),
        "version": made.version,
        "path": str(made.path),
        "served": list(made.composition.served),
    }


def _serving(composition: Composition) -> Serving:
    smallest = min(member.max_batch_size for member in composition.members)
    return Serving(max_batch_size=smallest, instances=1, threads=1)


def _joined(names: list[str]) -> str:
    """ "resnet20", or "resnet20+resnet56": each once."""
    return "+".join(dict.fromkeys(names))


class _Parts:
    """The models of one composition."""

    def __init__(self, made: ComposedModel) -> None:
        self._composition = made.composition
        self._name = made.composition.name
        self._serving = _serving(made.composition)
        self._classes = len(made.composition.labels)
        self._labels = {LABELS_FILE: config.labels_text(made.composition.labels).encode()}

    def models(self) -> list[ModelFiles]:
        """The models beside the average; the first carries the passport."""
        raise NotImplementedError

    def average(self, model: bytes) -> ModelFiles:
        """The model of the ONNX file that averages."""
        count = len(self._composition.view_members)
        made = composed_config.average(
            f"{self._name}_average",
            count=count,
            classes=self._classes,
            serving=self._serving,
            activation=self._composition.activation,
        )
        return ModelFiles(made.name, config.to_text(made), version_files={AVERAGE_FILE: model})

    def _average_step(self) -> Step:
        names = [logits_name(number) for number, _ in enumerate(self._composition.view_members, 1)]
        return Step(
            f"{self._name}_average",
            NEWEST,
            {name: name for name in names},
            {name: name for name in outputs(self._composition.activation)},
        )

    def _files(self, made: Any) -> ModelFiles:
        # Object stores drop empty directories, and Triton wants one per version.
        steps = [step.model_name for step in made.ensemble_scheduling.step]
        version_files = {"ensemble.txt": f"{', '.join(steps)}\n".encode()}
        return ModelFiles(made.name, config.to_text(made), self._labels, version_files)


class _Ensemble(_Parts):
    """The average of several members: of one tensor where they can share it, and of images."""

    def models(self) -> list[ModelFiles]:
        """The ensemble of pixels where there is one, and that of images."""
        members = self._composition.members
        made = composed_config.of_images(
            f"{self._name}_image",
            [*self._decoding(), *self._classifying(), self._average_step()],
            classes=self._classes,
            serving=self._serving,
            activation=self._composition.activation,
        )
        if self._composition.difference:
            return [self._files(made)]
        pixels = composed_config.of_pixels(
            self._name,
            [*self._classifying(INPUT), self._average_step()],
            input_kind=members[0].input_kind,
            preprocessing=members[0].preprocessing,
            classes=self._classes,
            serving=self._serving,
            activation=self._composition.activation,
        )
        return [self._files(pixels), self._files(made)]

    def _decoding(self) -> list[Step]:
        """Each image is decoded once per way of preparing it, by a member's own model."""
        first = self._prepared_by()
        return [
            Step(
                member.preprocess_name,
                member.version,
                {INPUT: INPUT},
                {PIXELS: pixels_name(number)},
            )
            for number, member in enumerate(self._composition.members, 1)
            if first[number - 1] == number
        ]

    def _classifying(self, tensor: str | None = None) -> list[Step]:
        """The members, on one tensor or on what was prepared for them."""
        first = self._prepared_by()
        return [
            Step(
                member.name,
                member.version,
                {INPUT: tensor or pixels_name(first[number - 1])},
                {OUTPUT: logits_name(number)},
            )
            for number, member in enumerate(self._composition.members, 1)
        ]

    def _prepared_by(self) -> list[int]:
        """For each member, the number of the first that prepares images as it does."""
        ways = [(each.input_kind, each.preprocessing) for each in self._composition.members]
        return [ways.index(way) + 1 for way in ways]


class _TenCrop(_Parts):
    """The average of one member over the crops of an image."""

    def models(self) -> list[ModelFiles]:
        """The ensemble of images, and what cuts the crops."""
        crops_of = self._composition.crops
        if crops_of is None:
            raise TypeError("a ten-crop model has crops")
        (member,) = self._composition.members
        numbers = range(1, len(crops_of) + 1)
        cut = composed_config.crops(
            f"{self._name}_preprocess",
            count=len(crops_of),
            input_kind=member.input_kind,
            preprocessing=member.preprocessing,
            serving=self._serving,
            cores=host.cores(),
            queue=member.queue.of_decoding(
                host.cores(), requests_per_image=len(crops_of)
            ).of_backend,
            decoded=member.queue.decoded,
        )
        names = {pixels_name(number): pixels_name(number) for number in numbers}
        classifying = [
            Step(
                member.name,
                member.version,
                {INPUT: pixels_name(number)},
                {OUTPUT: logits_name(number)},
            )
            for number in numbers
        ]
        made = composed_config.of_images(
            self._name,
            [Step(cut.name, NEWEST, {INPUT: INPUT}, names), *classifying, self._average_step()],
            classes=self._classes,
            serving=self._serving,
            activation=self._composition.activation,
        )
        stored = {
            PREPROCESSING_FILE: member.preprocessing.to_json().encode(),
            crops.FILE_NAME: crops_of.to_json().encode(),
        }
        return [
            self._files(made),
            ModelFiles(cut.name, config.to_text(cut), version_files=stored),
        ]


def _parts(made: ComposedModel) -> _Parts:
    return _Ensemble(made) if made.composition.crops is None else _TenCrop(made)
