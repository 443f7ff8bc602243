"""Which network of the family a checkpoint is: what its user, its metadata and its tensors say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from resnet_serve.architectures import Architecture
from resnet_serve.architectures.fitting import candidates, inferred
from resnet_serve.checkpoints.reading import Checkpoint
from resnet_serve.checkpoints.sidecar_files import CONFIG_FILE, Beside
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import CHANNELS

if TYPE_CHECKING:
    from torch import Tensor


def network_of(
    found: Checkpoint, described: Beside, given: Architecture | None
) -> tuple[Architecture, tuple[str, ...]]:
    """The network with the file's own stem and classifier, and what to say of how it was told.

    Raises `InputFileError` where nothing is `given` and tensors alone do not tell.
    """
    doubts = "; ".join(described.doubts)
    if given is not None:
        architecture = _fitted(given, found.tensors)
        said = f"{doubts}: it is taken for a {architecture.name} all the same"
        return architecture, (said,) if doubts else ()
    if doubts:
        raise InputFileError(
            f"{doubts}: its tensors alone do not tell what it computes",
            where=found.path.with_name(CONFIG_FILE),
            remedy="Give --arch if that is what it computes, or --module with its own code.",
        )
    architecture, twins = _inferred(found, described)
    return architecture, () if twins is None else (twins,)


def _inferred(found: Checkpoint, described: Beside) -> tuple[Architecture, str | None]:
    """What the file, or those beside it, say it is, or what it looks like.

    And the networks that look the same, in words.
    """
    # Where nothing fits, `inferred` refuses.
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
        f"{found.path} is taken for a {row.name}, and has the same tensors as "
        f"{', '.join(each.name for each in others)}: --arch says which it is"
    )


def _fitted(architecture: Architecture, state: Mapping[str, Tensor]) -> Architecture:
    """The architecture with the file's own stem and classifier."""
    stem = state.get("conv1.weight", state.get("conv1.0.weight"))  # deep stems are sequences
    if stem is not None and stem.ndim == 4 and stem.shape[1] in CHANNELS:
        architecture = architecture.with_channels(stem.shape[1])
    head = state.get("fc.weight")
    classes = head.shape[0] if head is not None and head.ndim == 2 else 0
    # A file without a classifier is for `fitting` to refuse, in its words.
    return architecture.with_classes(classes) if classes else architecture
