"""The ResNet family in PyTorch: `registry` is the table, `resnet` the modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnet_serve.architectures.architecture import Architecture
from resnet_serve.architectures.registry import ARCHITECTURES, find

if TYPE_CHECKING:
    from torch import nn

    from resnet_serve.architectures.custom_modules import CustomArchitecture

__all__ = ["ARCHITECTURES", "Architecture", "build", "find", "with_head"]


def build(architecture: Architecture | CustomArchitecture) -> nn.Module:
    """The network of a row, or of a user's factory, in evaluation mode; needs torch."""
    if not isinstance(architecture, Architecture):
        return architecture.build()
    from resnet_serve.architectures.resnet import ResNet

    return ResNet(architecture).eval()


def with_head(network: nn.Module, head: str) -> nn.Module:
    """The network answering what `head` says (see `heads`), with its own parameters."""
    from resnet_serve.architectures import heads

    return heads.attach(network, head)
