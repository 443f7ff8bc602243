"""Heads: the same ResNet with features instead of logits as its outputs.

    classifier   logits    [N,classes]                   the trained classifier
    features     features  [N,channels]                  the pooled embedding, which is fc's input
    pyramid      c2 … c5   [N,channels,H/4,W/4] … /32    each stage's map, after its last ReLU

A head shares the network's parameters under their own names, so that texts about a layer still name
`layer3.4.conv2`. It returns a dict of tensors by name, as torchvision's `IntermediateLayerGetter`
does (`torchvision/models/_utils.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnet_serve.architectures.resnet import ResNet
from resnet_serve.errors import UsageError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = optional("torch", extra="convert")

CLASSIFIER = "classifier"
FIRST_LEVEL = 2  # C1 is the stem (Lin et al. 2017, arXiv:1612.03144, figure 3)


def attach(network: nn.Module, head: str) -> nn.Module:
    """The network with this head, sharing its parameters; the network itself for "classifier".

    Raises `UsageError` for a custom module, as the place of its features is not known.
    """
    if head == CLASSIFIER:
        return network
    if not isinstance(network, ResNet):
        raise UsageError(
            f"--head {head} is for networks of the family: the features of a "
            f"{type(network).__name__} are not known",
            remedy="Omit it.",
        )
    with torch.device("meta"):  # the parameters are the network's own
        headed = {"features": Features, "pyramid": Pyramid}[head](network.architecture)
    headed.load_state_dict(network.state_dict(), strict=True, assign=True)
    return headed.train(network.training).requires_grad_(False)


class Features(ResNet):
    """Input as `ResNet`; {"features": FP32 [N,channels]}, pooled and not normalised to length 1."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """FP32 [N,channels,H,W] to the pooled features by name."""
        return {"features": self.pooled(self.maps(x)[-1])}


class Pyramid(ResNet):
    """Input as `ResNet`; {"c2": FP32 [N,channels,H,W], …}, one map per stage.

    In a pre-activated network the maps are the sums at the end of the stages, before the ReLU of
    the next block; the last one is the map that is pooled, after the last BatchNorm and ReLU.
    """

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """FP32 [N,channels,H,W] to the map of each stage by name."""
        return {f"c{level}": each for level, each in enumerate(self.maps(x), start=FIRST_LEVEL)}
