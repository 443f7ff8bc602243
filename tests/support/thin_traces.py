"""The thin networks of the family with random weights and their traces: each is made once a run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from thin import shallow, thin
from torch import nn
from trace_once import traced_this_run

from resnet_convert.graph.trace import Trace
from resnet_serve.architectures import Architecture, build


@dataclass(frozen=True)
class Traced:
    """A network and its trace; shared by all tests, so not to be changed."""

    row: Architecture
    network: nn.Module
    trace: Trace
    side: int


@cache
def thin_trace(row: Architecture) -> Traced:
    """The row with fewer channels and blocks, at 64 pixels (CIFAR: 32)."""
    torch.manual_seed(0)
    narrow = shallow(thin(row))
    side = 64 if row.family == "ImageNet" else 32
    network = build(narrow)
    traced = traced_this_run(network, (3, side, side))
    return Traced(narrow, network, traced, side)
