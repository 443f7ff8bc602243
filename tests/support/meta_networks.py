"""Networks of the family without numbers: names and shapes on the meta device, each built once."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from resnet_serve.architectures import Architecture, build


@cache
def shapes_only(row: Architecture) -> nn.Module:
    """The network of a row on the meta device; shared by all tests, so not to be changed."""
    with torch.device("meta"):
        return build(row)


def state_of(row: Architecture) -> dict[str, Tensor]:
    """Its state dict, a new one for every caller."""
    return dict(shapes_only(row).state_dict())
