"""Classifier: a file of the family whose last layer is missing or has no bias.

fc.weight alone             a bias of zeros computes the same, and is added
no fc at all (a backbone)   serves features and the pyramid; fc is then filled with zeros,
                            which no output of these heads reads
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from resnet_serve.checkpoints.reading import Checkpoint
from resnet_serve.checkpoints.state_dicts import ANCHOR
from resnet_serve.checkpoints.states.containers import shortened
from resnet_serve.errors import InputFileError, Note
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = optional("torch", extra="convert")

_WEIGHT, _BIAS = "fc.weight", "fc.bias"
_CONVOLUTION = re.compile(r"layer(\d)\.(\d+)\.conv(\d)\.weight")


def features(tensors: Mapping[str, Tensor]) -> int:
    """The channels of the last convolution, which are the inputs of the classifier."""
    stages = [match for match in map(_CONVOLUTION.fullmatch, tensors) if match is not None]
    top = max(stages, key=lambda match: tuple(map(int, match.groups())))
    return tensors[top[0]].shape[0]


def rename(weight: str, *, root: str = "") -> str:
    """The remedy that names a classifier `fc`, and how the one for the other case begins.

    `root` is what the names of the network begin with.
    """
    inner = f"name.removeprefix({root!r})" if root else "name"
    return (
        f"If {weight} is its classifier: torch.save({{{inner}"
        f".replace({weight.removesuffix('weight')!r}, 'fc.'): tensor for name, tensor in "
        "state.items()}, 'net.pth'). If not: "
    )


def _other_name(tensors: Mapping[str, Tensor]) -> str | None:
    """The one linear layer of a backbone whose inputs are those of a classifier."""
    found = [name for name, tensor in tensors.items() if tensor.ndim == 2]
    if len(found) != 1 or not found[0].endswith(".weight"):
        return None
    return found[0] if tensors[found[0]].shape[1] == features(tensors) else None


def completed(checkpoint: Checkpoint, *, needed: bool) -> Checkpoint:
    """The checkpoint with a whole classifier, by torchvision's names.

    `needed` says that its outputs are served. Raises `InputFileError` where they are, and there is
    none.
    """
    tensors = dict(checkpoint.tensors)
    last = [name for name in tensors if name.startswith("fc.")]
    if last == [_WEIGHT] and tensors[_WEIGHT].ndim == 2:
        tensors[_BIAS] = torch.zeros(tensors[_WEIGHT].shape[0])
        said = f"fc of {checkpoint.path} has no bias: one of zeros, which adds nothing, is used"
        return replace(checkpoint, tensors=tensors, notices=(*checkpoint.notices, Note(said)))
    several = any(name.count(".") > 1 for name in last) and ANCHOR in tensors
    if several and needed:
        raise InputFileError(
            f"its fc is not one linear layer: {shortened(last)}, such as the projection of a "
            "self-supervised training",
            where=checkpoint.path,
            remedy="Serve its features with --head features, or give --module with the code of the "
            "network.",
        )
    if (last and not several) or ANCHOR not in tensors:
        return checkpoint
    tensors = {name: tensor for name, tensor in tensors.items() if name not in last}
    other = None if several else _other_name(tensors)
    if needed and other is not None:
        shape = tuple(tensors[other].shape)
        raise InputFileError(
            f"has no fc, which is the classifier: {other} {shape} may be it under another name",
            where=checkpoint.path,
            remedy=f"{rename(other)}Serve its features with --head features.",
        )
    if needed:
        raise InputFileError(
            "has no classifier: there is no fc among its "
            f"{len(tensors)} tensors, which are those of a backbone",
            where=checkpoint.path,
            remedy="Serve its features with --head features or --head pyramid, or give a file with "
            "the trained fc.",
        )
    tensors |= {_WEIGHT: torch.zeros(1, features(tensors)), _BIAS: torch.zeros(1)}
    # Names of classes are those of the classifier that is not there.
    metadata = {key: text for key, text in checkpoint.metadata.items() if key != "labels"}
    notice = (
        f"fc of {checkpoint.path} is not served: {shortened(last)}"
        if several
        else Note(f"{checkpoint.path} is a backbone without a classifier (fc), which is not served")
    )
    notices = (*checkpoint.notices, notice)
    return replace(checkpoint, tensors=tensors, metadata=metadata, notices=notices)
