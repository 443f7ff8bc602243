"""The ResNet family in PyTorch: `registry` is the table, `resnet` and `blocks` are the modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnet_serve.architectures.architecture import Architecture
from resnet_serve.architectures.registry import ARCHITECTURES, find

if TYPE_CHECKING:
    from torch import nn

    from resnet_serve.architectures.custom_modules import CustomArchitecture

__all__ = ["ARCHITECTURES", "Architecture", "build", "find", "with_head"]


def build(architecture: Architecture | CustomArchitecture) -> nn.Module:
    """The network of a row, or of a custom module, with new weights, in evaluation mode."""
    if not isinstance(architecture, Architecture):
        return architecture.build()
    from resnet_serve.architectures.resnet import ResNet

    return ResNet(architecture).eval()


def with_head(network: nn.Module, head: str) -> nn.Module:
    """The network with another head (see `heads`), which shares its parameters.

    Raises `UsageError` for a custom module.
    """
    from resnet_serve.architectures import heads

    return heads.attach(network, head)
