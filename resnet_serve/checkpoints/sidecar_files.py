"""Sidecar files: the JSON files of timm and transformers in the folder of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from resnet_serve.activation import Kind
from resnet_serve.checkpoints import json_files, timm_files, transformers_files
from resnet_serve.checkpoints.transforms import image_processors, recorded
from resnet_serve.checkpoints.transforms.steps import Step
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing

Found = TypeVar("Found")
CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class Sidecar:
    """The content of a checkpoint's sidecar files; every field may be missing.

    `architecture` and `strided` are as in `Architecture`; tensors do not show them with certainty.
    `doubts` are reasons, as text, why the network may not compute as one of the family; `recorded`
    says that there is a file of one of these libraries.
    """

    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None
    architecture: str | None = None
    strided: str | None = None
    doubts: tuple[str, ...] = ()
    activation: Kind | None = None
    recorded: bool = False


def read(checkpoint: Path, *, overridden: bool = False, transform: Step | None = None) -> Sidecar:
    """The sidecar files of timm or transformers in the folder of a checkpoint, where there are any.

    A `config.json` of another library is ignored. The pickled `transform` in the checkpoint itself
    goes before the preprocessing of a file. Raises `InputFileError` for a file that cannot
    be read, unless the preprocessing is `overridden` by an option.
    """
    found = _beside(checkpoint, overridden=overridden or transform is not None)
    if transform is None:
        return found
    own = _unless(overridden, recorded.preprocessing, transform, checkpoint)
    return replace(found, preprocessing=own)


def _beside(checkpoint: Path, *, overridden: bool) -> Sidecar:
    path = checkpoint.with_name(CONFIG_FILE)
    config = (_unless(overridden, json_files.mapping, path) or {}) if path.is_file() else {}
    if timm_files.is_config(config):
        return Sidecar(
            _unless(overridden, timm_files.preprocessing, config, path),
            timm_files.labels(config),
            architecture=timm_files.architecture(config),
            doubts=timm_files.doubts(config),
            recorded=True,
        )
    if not transformers_files.is_config(config):
        return Sidecar()
    processor = checkpoint.with_name(image_processors.PROCESSOR_FILE)
    preprocessing = None
    if processor.is_file():
        preprocessing = _unless(overridden, _of_processor, processor)
    return Sidecar(
        preprocessing,
        transformers_files.labels(config),
        strided=transformers_files.strided(config),
        doubts=transformers_files.doubts(config),
        activation=transformers_files.activation(config),
        recorded=True,
    )


def _of_processor(path: Path) -> Preprocessing:
    return image_processors.preprocessing(json_files.mapping(path), path)


def _unless(overridden: bool, read: Callable[..., Found], *given: object) -> Found | None:
    try:
        return read(*given)
    except InputFileError:
        if overridden:
            return None
        raise
