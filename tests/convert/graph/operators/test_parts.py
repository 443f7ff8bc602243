"""Slices, concatenations and padding against PyTorch; images are never cut, joined or padded."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from traced import by_number, holds, names_of, on, refused, through

from resnet_convert.graph.operators import parts


def padded(*pads, **options):
    return on(lambda x: functional.pad(x, pads, **options))


EXACT = {
    "cat": [
        on(lambda x: torch.cat([x, x.relu()], 1)),
        on(lambda x: torch.cat([x, x.relu(), x], -1)),
    ],
    "chunk": [
        on(lambda x: torch.cat(x.chunk(3, 2)[::-1], 2)),
        on(lambda x: x.chunk(2, 1)[1].relu()),
    ],
    "constant_pad_nd": [on(lambda x: torch.constant_pad_nd(x, (1, 2, 0, 1), -1.0))],
    "flip": [on(lambda x: x.flip(-1) * x), on(lambda x: x.flip(1, 2)[:, :2, :3])],
    "pad": [
        padded(0, 0, 0, 0, 2, 3),
        padded(1, 2, value=2.5),
        padded(1, -1, -2, 1),
        padded(1, 2, 3, 0, mode="reflect"),
        padded(1, 2, 3, 0, mode="replicate"),
        padded(1, 2, 3, 0, mode="circular"),
        through(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")),
        through(nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")),
        through(nn.ReflectionPad2d(2), nn.ReplicationPad2d(1), nn.ZeroPad2d(1)),
        # BlurPool: reflection, and a depthwise convolution with a fixed kernel.
        on(
            lambda x: functional.conv2d(
                functional.pad(x, (1, 1, 1, 1), mode="reflect"),
                (torch.tensor([1.0, 2, 1])[:, None] * torch.tensor([1.0, 2, 1])).expand(4, 1, 3, 3),
                stride=2,
                groups=4,
            )
        ),
    ],
    "reflection_pad2d": [on(lambda x: torch.ops.aten.reflection_pad2d(x, [1, 2, 3, 0]))],
    "replication_pad2d": [on(lambda x: torch.ops.aten.replication_pad2d(x, [1, 2, 3, 0]))],
    "roll": [on(lambda x: x.roll((1, -2), (2, 3)) * x), on(lambda x: x.roll(8, 3) * x)],
    "select": [on(lambda x: x[:, 1]), on(lambda x: x[:, :, -1] * x[:, 0, :1])],
    "slice": [
        on(lambda x: x[:, :, ::2, ::2]),
        on(lambda x: x[:, 1:3, -5:-1]),
        on(lambda x: x[:, :, :100, 3:]),
        on(lambda x: x[:, :, :, :].relu()),
        on(lambda x: x.narrow(2, 3, 4)),
    ],
    "split": [on(lambda x: torch.cat(x.split(5, 2)[::-1], 2) * x)],
    "split_with_sizes": [on(lambda x: torch.cat(x.split([2, 6], 3)[::-1], 3) * x)],
    "stack": [on(lambda x: torch.stack([x, x.relu(), x.cos()], 2).amax(2))],
    "unbind": [on(lambda x: torch.stack(x.unbind(1)[::2], 1))],
}


def test_every_row_is_exercised() -> None:
    assert names_of(EXACT) == set(parts.ROWS)


@pytest.mark.parametrize(("operator", "index"), by_number(EXACT))
def test_row_means_what_pytorch_means(operator: str, index: int) -> None:
    holds(EXACT[operator][index])


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (on(lambda x: torch.cat([x, x], 0).view(x.size(0), -1)), "concatenation of images"),
        (on(lambda x: x.roll(1, 0) * x), "rolling the images"),
        (on(lambda x: x.flip(0) * x), "reversing the images"),
        (on(lambda x: x * x[:1]), "a part of the images"),
        (on(lambda x: x[0][None] * x), "one of the images"),
        (on(lambda x: x.unbind(0)[0][None] * x), "one|one by one|trace"),
    ],
)
def test_what_a_row_cannot_say_is_refused(network: nn.Module, reason: str) -> None:
    refused(network, reason)
