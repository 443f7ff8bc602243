"""The network of the family that a checkpoint is, from options, metadata, files and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from resnet_serve.architectures import Architecture
from resnet_serve.architectures.fitting import candidates, inferred
from resnet_serve.checkpoints.reading import Checkpoint
from resnet_serve.checkpoints.sidecar_files import CONFIG_FILE, Sidecar
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import CHANNELS

if TYPE_CHECKING:
    from torch import Tensor


def network_of(
    found: Checkpoint, described: Sidecar, given: Architecture | None
) -> tuple[Architecture, tuple[str, ...]]:
    """The network, with the file's own stem and classifier, and notices on how it was determined.

    `given` is the architecture from the options. Raises `InputFileError` where none is given and
    the checkpoint does not determine it.
    """
    doubts = "; ".join(described.doubts)
    if given is not None:
        architecture = _fitted(given, found.tensors)
        notice = f"{doubts}: it is read as a {architecture.name} nevertheless"
        return architecture, (notice,) if doubts else ()
    if doubts:
        raise InputFileError(
            f"{doubts}: its tensors alone do not show what it computes",
            where=found.path.with_name(CONFIG_FILE),
            remedy="Give --arch if it computes the same, or --module with its own code.",
        )
    architecture, twins = _inferred(found, described)
    return architecture, () if twins is None else (twins,)


def _inferred(found: Checkpoint, described: Sidecar) -> tuple[Architecture, str | None]:
    """The network that the file or its sidecar files name, or else the first that fits.

    And a notice where other networks fit too.
    """
    # Where nothing fits, `inferred` raises the error.
    row, *others = candidates(found.tensors) or (inferred(found.tensors, found.path),)
    named = found.metadata.get("architecture", described.architecture)
    for each in (row, *others):
        if each.name == named:
            return each, None
    for each in (row, *others):
        if each.strided == described.strided:
            return each, None
    if not others:
        return row, None
    return row, (
        f"{found.path} is read as a {row.name}, but has the same tensors as "
        f"{', '.join(each.name for each in others)}: choose with --arch"
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
