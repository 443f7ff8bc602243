"""The network of the family that a checkpoint is, from options, metadata, files and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_serve.architectures import Architecture
from resnet_serve.architectures.fitting import OWN, candidates, inferred, listed
from resnet_serve.checkpoints.reading import Checkpoint
from resnet_serve.checkpoints.sidecar_files import CONFIG_FILE, Sidecar
from resnet_serve.checkpoints.states.arithmetic import conflicts
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import CHANNELS

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Identified:
    """The network of a checkpoint, with the file's own stem and classifier, and how it is known.

    `recorded` says that the file or one beside it names the network, so that its arithmetic is
    known. `twins` are other networks with the same tensors, where nothing chooses between them;
    `notices` are sentences for the user.
    """

    architecture: Architecture
    recorded: bool = False
    notices: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()


def network_of(found: Checkpoint, described: Sidecar, given: Architecture | None) -> Identified:
    """The network of a checkpoint; `given` is the architecture from the options.

    Raises `InputFileError` where none is given and the checkpoint does not determine it.
    """
    doubts = "; ".join(described.doubts)
    if given is not None:
        architecture = _fitted(given, found.tensors)
        _check_arithmetic(found, architecture)
        notice = f"{doubts}: it is read as a {architecture.name} nevertheless"
        return Identified(architecture, _recorded(found, described), (notice,) if doubts else ())
    if doubts:
        raise InputFileError(
            f"{doubts}: its tensors alone do not show what it computes",
            where=found.path.with_name(CONFIG_FILE),
            remedy="Give --arch if it computes the same, or --module with its own code.",
        )
    return _inferred(found, described)


def _recorded(found: Checkpoint, described: Sidecar) -> bool:
    named = found.metadata.get("architecture", described.architecture)
    return named is not None or described.strided is not None


def _inferred(found: Checkpoint, described: Sidecar) -> Identified:
    """The network that the file or its sidecar files name, or else the first that fits.

    Then other networks that fit too are its twins.
    """
    # Where nothing fits, `inferred` raises the error.
    fits = candidates(found.tensors) or (inferred(found.tensors, found.path),)
    alike = [each for each in fits if not conflicts(found.modules, each)]
    if not alike:
        _check_arithmetic(found, fits[0])
    row, *others = alike
    recorded = _recorded(found, described)
    named = found.metadata.get("architecture", described.architecture)
    for each in (row, *others):
        if each.name == named:
            return Identified(each, recorded)
    for each in (row, *others):
        if each.strided == described.strided:
            return Identified(each, recorded)
    return Identified(row, recorded, twins=tuple(each.name for each in others))


def _check_arithmetic(found: Checkpoint, architecture: Architecture) -> None:
    """Refuse a pickled network whose modules compute something else between the same tensors."""
    differences = conflicts(found.modules, architecture)
    if differences:
        raise InputFileError(
            f"its tensors are those of a {architecture.name}, its arithmetic is not: "
            f"{listed(differences)}",
            where=found.path,
            remedy=next(
                (
                    f"Give --arch {row.name}."
                    for row in candidates(found.tensors)
                    if not conflicts(found.modules, row)
                ),
                OWN,
            ),
        )


def _fitted(architecture: Architecture, state: Mapping[str, Tensor]) -> Architecture:
    """The architecture with the file's own stem and classifier."""
    stem = state.get("conv1.weight", state.get("conv1.0.weight"))  # deep stems are sequences
    if stem is not None and stem.ndim == 4 and stem.shape[1] in CHANNELS:
        architecture = architecture.with_channels(stem.shape[1])
    head = state.get("fc.weight")
    classes = head.shape[0] if head is not None and head.ndim == 2 else 0
    # `fitting` raises the error for a file without a classifier.
    return architecture.with_classes(classes) if classes else architecture
