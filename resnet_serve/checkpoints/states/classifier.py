"""Classifier: a file of the family whose last layer is missing or has no bias.

fc.weight alone             a bias of zeros computes the same, and is added
no fc at all (a backbone)   serves features and the pyramid; fc is then filled with zeros,
                            which no output of these heads reads
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from resnet_serve.checkpoints.reading import Checkpoint
from resnet_serve.checkpoints.state_dicts import ANCHOR
from resnet_serve.errors import InputFileError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
else:
    torch = optional("torch", extra="convert")

_WEIGHT, _BIAS = "fc.weight", "fc.bias"
_CONVOLUTION = re.compile(r"layer(\d)\.(\d+)\.conv(\d)\.weight")


def completed(checkpoint: Checkpoint, *, needed: bool) -> Checkpoint:
    """The checkpoint with a whole classifier, by torchvision's names.

    `needed` says that its outputs are served. Raises `InputFileError` where they are, and there is
    none.
    """
    tensors = dict(checkpoint.tensors)
    last = [name for name in tensors if name.startswith("fc.")]
    if last == [_WEIGHT] and tensors[_WEIGHT].ndim == 2:
        tensors[_BIAS] = torch.zeros(tensors[_WEIGHT].shape[0])
        notice = f"fc of {checkpoint.path} has no bias: one of zeros, which adds nothing, is used"
        return replace(checkpoint, tensors=tensors, notices=(*checkpoint.notices, notice))
    if last or ANCHOR not in tensors:
        return checkpoint
    if needed:
        raise InputFileError(
            "has no classifier: there is no fc among its "
            f"{len(tensors)} tensors, which are those of a backbone",
            where=checkpoint.path,
            remedy="Serve its features with --head features or --head pyramid, or give a file with "
            "the trained fc.",
        )
    stages = [match for match in map(_CONVOLUTION.fullmatch, tensors) if match is not None]
    top = max(stages, key=lambda match: tuple(map(int, match.groups())))
    channels = tensors[top[0]].shape[0]
    tensors |= {_WEIGHT: torch.zeros(1, channels), _BIAS: torch.zeros(1)}
    # Names of classes are those of the classifier that is not there.
    metadata = {key: text for key, text in checkpoint.metadata.items() if key != "labels"}
    notice = f"{checkpoint.path} is a backbone without a classifier (fc), which is not served"
    notices = (*checkpoint.notices, notice)
    return replace(checkpoint, tensors=tensors, metadata=metadata, notices=notices)
