"""What lies beside weights and belongs to them: how they see images, and what their classes are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from resnet_serve.checkpoints import json_files, timm_files, transformers_files
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing

Found = TypeVar("Found")
CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class Beside:
    """What a library's files beside a checkpoint say of it.

    `architecture` and `strided` are as in `Architecture`; tensors show neither for certain.
    `doubts` are reasons, in words, why the network computes otherwise than one of the family.
    """

    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None
    architecture: str | None = None
    strided: str | None = None
    doubts: tuple[str, ...] = ()

    def labels_of(self, classes: int) -> tuple[str, ...] | None:
        """The names if they are as many as the classes; else they are another classifier's."""
        return self.labels if self.labels and len(self.labels) == classes else None


def read(checkpoint: Path, *, overridden: bool = False) -> Beside:
    """timm's or transformers' files beside a checkpoint, where there are such.

    A `config.json` of another library is none of ours; one that is no JSON is refused, because
    what it would have said is not known. Where preprocessing is `overridden`, nothing is refused.
    """
    path = checkpoint.with_name(CONFIG_FILE)
    config = (_unless(overridden, json_files.mapping, path) or {}) if path.is_file() else {}
    if timm_files.is_config(config):
        return Beside(
            _unless(overridden, timm_files.preprocessing, config, path),
            timm_files.labels(config),
            architecture=timm_files.architecture(config),
            doubts=timm_files.doubts(config),
        )
    if not transformers_files.is_config(config):
        return Beside()
    processor = checkpoint.with_name(transformers_files.PROCESSOR_FILE)
    preprocessing = None
    if processor.is_file():
        preprocessing = _unless(overridden, _of_processor, processor)
    return Beside(
        preprocessing,
        transformers_files.labels(config),
        strided=transformers_files.strided(config),
        doubts=transformers_files.doubts(config),
    )


def _of_processor(path: Path) -> Preprocessing:
    return transformers_files.preprocessing(json_files.mapping(path), path)


def _unless(overridden: bool, read: Callable[..., Found], *given: object) -> Found | None:
    try:
        return read(*given)
    except InputFileError:
        if overridden:
            return None
        raise
