"""A whole version: beside its model it keeps the configuration and labels that it is served with.

    net/4/  model.onnx  passport.json  config.pbtxt  labels.txt
    net/    config.pbtxt  labels.txt        copies of those of version 4, the served one

Triton reads one configuration per model, that of the model's directory. It is the version's own
with two things set: this version is the one to serve, and an ensemble's steps run the version that
was deployed with it. The passport has the SHA-256 of the files that a version keeps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from google.protobuf import text_format

from resnet_serve import durable
from resnet_serve.errors import InputFileError
from resnet_serve.triton import config
from resnet_serve.triton.canary import split as splits
from resnet_serve.triton.config import NEWEST
from resnet_serve.triton.layout import CONFIG_FILE, LABELS_FILE

Hashes: TypeAlias = Mapping[str, Mapping[str, str]]  # SHA-256 by model, and by file of its version


@dataclass(frozen=True)
class ModelFiles:
    """One model of a deployment: its configuration, the files beside that, the new version's."""

    name: str
    config: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    version_files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def kept(self) -> dict[str, bytes]:
        """Every file that the version keeps."""
        return {**self.version_files, **self.files, CONFIG_FILE: self.config.encode()}


def hashes(models: Sequence[ModelFiles]) -> dict[str, dict[str, str]]:
    """The hashes of the files that a version of each model keeps."""
    return {
        model.name: {file: durable.sha256(data) for file, data in sorted(model.kept.items())}
        for model in models
    }


def served_config(own: str, version: int, models: Collection[str], where: object = None) -> str:
    """config.pbtxt of a model's directory, from the version's own; `models` were deployed together.

    Raises `InputFileError` for a text that is no configuration.
    """
    try:
        made = config.parse(own)
    except text_format.ParseError as error:
        raise InputFileError(f"is no model configuration ({error})", where=where) from error
    made.version_policy.Clear()
    made.version_policy.specific.versions.append(version)
    for step in made.ensemble_scheduling.step:
        if step.model_name in models and step.model_version == NEWEST:
            step.model_version = version
    return config.to_text(made)


def served_version(directory: Path, present: Sequence[int]) -> int | None:
    """The version that Triton serves of a model; None where it serves none.

    A configuration without a specific version serves the newest, as earlier deployments did. While
    there is a canary, it is the old version.
    """
    newest = max(present, default=None)
    try:
        made = config.parse((directory / CONFIG_FILE).read_text(encoding="utf-8"))
        split, policy = splits.of(made), made.version_policy
    except (OSError, ValueError, text_format.ParseError, InputFileError):
        return newest
    if split is not None:
        return split.old if split.old in present else None
    if policy.WhichOneof("policy_choice") != "specific":
        return newest
    return max((each for each in policy.specific.versions if each in present), default=None)


def takes_images(directory: Path) -> bool | None:
    """Whether the input of a model is encoded images, so that it needs our `image` backend.

    None where its configuration cannot be read.
    """
    try:
        made = config.parse((directory / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, text_format.ParseError):
        return None
    return any(each.data_type == config.ENCODED for each in made.input)


def keeps_its_own(version: Path) -> bool:
    """Whether a version has a configuration of its own; earlier deployments kept none."""
    return (version / CONFIG_FILE).is_file()


def copies(version: Path, models: Collection[str]) -> dict[str, bytes]:
    """The files of a model's directory while this version of it is served."""
    own = version / CONFIG_FILE
    text = served_config(own.read_text(encoding="utf-8"), int(version.name), models, own)
    found = {CONFIG_FILE: text.encode()}
    if (version / LABELS_FILE).is_file():
        found[LABELS_FILE] = (version / LABELS_FILE).read_bytes()
    return found
