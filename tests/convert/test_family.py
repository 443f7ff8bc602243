"""Every kind of network at a second, odd image size; a deep one is test_deep.py's."""

from __future__ import annotations

import pytest
import torch
from thin import shallow, shallowest, thin

from resnet_convert.graph.fold import fold
from resnet_convert.graph.trace import trace, verify
from resnet_serve.architectures import Architecture, build


@pytest.mark.parametrize("row", shallowest(), ids=lambda row: row.name)
def test_every_kind_converts_at_an_odd_image_size_of_one_channel(row: Architecture) -> None:
    """Odd sides are where ceilings, strides and subsampled identities could disagree.

    The even size of three channels is test_trace.py's and test_fold.py's.
    """
    torch.manual_seed(0)
    grey = shallow(thin(row)).with_channels(1)
    network = build(grey)
    side = 75 if row.family == "ImageNet" else 33
    size = (grey.channels, side, side)
    traced = trace(network, size)
    found = fold(traced.model)
    assert len(found.kept) == grey.unfoldable
    numbers = verify(traced.reference, traced.model, size, stage="fold")
    assert {batch: n.images for batch, n in numbers.items()} == {1: 1, 3: 3}
    assert all(n.relative < 1e-5 for n in (*numbers.values(), *traced.numerics.values()))
