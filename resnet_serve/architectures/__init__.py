"""The ResNet family in PyTorch: `registry` is the table, `resnet` the modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnet_serve.architectures.architecture import Architecture
from resnet_serve.architectures.registry import ARCHITECTURES, find

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ARCHITECTURES", "Architecture", "build", "find"]


def build(architecture: Architecture) -> nn.Module:
    """The network of a row, freshly initialised, in evaluation mode; needs torch."""
    from resnet_serve.architectures.resnet import ResNet

    return ResNet(architecture).eval()
