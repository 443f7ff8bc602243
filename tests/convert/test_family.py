"""Every kind of network at a second, odd image size, and the deep kinds once."""

from __future__ import annotations

import pytest
import torch
from thin import DEEP_KINDS, SHALLOW_KINDS, thin
from torch import nn

from resnet_convert.graph.fold import fold
from resnet_convert.graph.trace import trace, verify
from resnet_serve.architectures import ARCHITECTURES, Architecture, build


def converts(row: Architecture, side: int) -> None:
    torch.manual_seed(0)
    network = build(row)
    for norm in network.modules():
        if row.depth > 1000 and isinstance(norm, nn.BatchNorm2d):
            norm.weight.data.fill_(0.1)  # else an untrained sum of a thousand blocks overflows
    size = (row.channels, side, side)
    traced = trace(network, size)
    found = fold(traced.model)
    assert len(found.kept) == row.unfoldable
    numbers = verify(network, traced.model, size, stage="fold")
    assert {batch: n.images for batch, n in numbers.items()} == {1: 1, 3: 3}
    assert all(n.relative < 1e-5 for n in (*numbers.values(), *traced.numerics.values()))


@pytest.mark.parametrize("row", SHALLOW_KINDS, ids=lambda row: row.name)
def test_every_kind_converts_at_an_odd_image_size_of_one_channel(row: Architecture) -> None:
    """Odd sides are where ceilings, strides and subsampled identities could disagree.

    The even size of three channels is test_trace.py's and test_fold.py's.
    """
    converts(thin(row).with_channels(1), 75 if row.family == "ImageNet" else 33)


@pytest.mark.slow
@pytest.mark.parametrize("row", DEEP_KINDS, ids=lambda row: row.name)
def test_the_deep_ones_convert(row: Architecture) -> None:
    converts(thin(row), 33)


@pytest.mark.slow
def test_a_thousand_preactivated_layers_convert() -> None:
    """ResNet-1202 has a file of its own, test_deep.py."""
    converts(ARCHITECTURES["preact_resnet1001"], 8)
