"""Heads: the same ResNet, answering features instead of logits.

    classifier   logits    [N,classes]                   what it was trained to answer
    features     features  [N,channels]                  the pooled embedding that `fc` would take
    pyramid      c2 … c5   [N,channels,H/4,W/4] … /32    each stage's map, behind its last ReLU

A head shares the network's parameters under their own names, so that whatever is said of a layer
still says `layer3.4.conv2`. It answers its tensors by name, as torchvision's
`IntermediateLayerGetter` does (`torchvision/models/_utils.py`).
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

    Raises `UsageError` for a network that is none of ours: where its features are is not known.
    """
    if head == CLASSIFIER:
        return network
    if not isinstance(network, ResNet):
        raise UsageError(
            f"--head {head} is for our ResNets: where a {type(network).__name__} has its features "
            "is not known",
            remedy="Leave it out.",
        )
    with torch.device("meta"):  # the parameters are the network's own
        headed = {"features": Features, "pyramid": Pyramid}[head](network.architecture)
    headed.load_state_dict(network.state_dict(), strict=True, assign=True)
    return headed.train(network.training).requires_grad_(False)


class Features(ResNet):
    """Input as `ResNet`; {"features": FP32 [N,channels]}, pooled and not normalised to length 1."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {"features": self.pooled(self.maps(x)[-1])}


class Pyramid(ResNet):
    """Input as `ResNet`; {"c2": FP32 [N,channels,H,W], …}, one map per stage.

    Of a pre-activated network the maps are the stages' sums, whose ReLU belongs to the block that
    reads them, and the last one is what is pooled, behind the last BatchNorm and ReLU.
    """

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {f"c{level}": each for level, each in enumerate(self.maps(x), start=FIRST_LEVEL)}
