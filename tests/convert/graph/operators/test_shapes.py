"""Reshapes, transpositions, repetitions and copies against PyTorch; images are never mixed."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from traced import by_number, holds, names_of, on, refused, through

from resnet_convert.graph.operators import shapes


class Tokens(nn.Module):
    """A class token in front of the pixels, and a position for each: a vision transformer's."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.linspace(-1, 1, 4).view(1, 1, 4))
        self.positions = nn.Parameter(torch.linspace(0, 1, 73 * 4).view(1, 73, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pixels = x.relu().flatten(2).transpose(1, 2)
        first = self.token.expand(x.shape[0], -1, -1)
        return (torch.cat([first, pixels], 1) + self.positions)[:, 0]


def windows(x: torch.Tensor) -> torch.Tensor:
    """Swin's: windows become images of their own, and come back."""
    n, c, h, w = x.shape
    parts = x.view(n, c, h // 3, 3, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 12, c)
    parts = parts.softmax(1)
    n = parts.shape[0] // (h // 3 * (w // 4))
    return parts.view(n, h // 3, w // 4, 3, 4, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)


EXACT = {
    "alias": [on(lambda x: torch.ops.aten.alias(x.relu()))],
    "channel_shuffle": [through(nn.ChannelShuffle(2))],
    "clone": [on(lambda x: x.clone().relu())],
    "contiguous": [on(lambda x: x.contiguous().relu())],
    "detach": [on(lambda x: x.detach().relu())],
    "dropout": [on(lambda x, layer: layer(x).relu(), nn.Dropout(0.9))],
    "expand": [
        on(lambda x: x.mean((2, 3), keepdim=True).expand(-1, -1, 9, 8) + x),
        on(lambda x: x.mean(1, keepdim=True).expand(-1, 3, -1, -1).relu()),
        Tokens(),
    ],
    "expand_as": [on(lambda x: x.mean((2, 3), keepdim=True).expand_as(x) * x)],
    "feature_dropout": [on(lambda x, layer: layer(x).relu(), nn.Dropout2d(0.9))],
    "flatten": [
        on(lambda x: x.flatten(1)),
        on(lambda x: torch.flatten(x, 1, 3)),
        on(lambda x: x.flatten(2).mean(2)),
        on(lambda x: x.flatten(1, 2).relu()),
    ],
    "permute": [
        on(lambda x: x.permute(0, 2, 3, 1).relu()),
        on(lambda x: x.permute(0, 1, 2, 3) + 1),
    ],
    "pixel_shuffle": [through(nn.PixelShuffle(2))],
    "pixel_unshuffle": [on(lambda x: functional.pixel_unshuffle(x[:, :, :8], 2) ** 2)],
    "reshape": [
        on(lambda x: x.relu().reshape(x.shape[0], -1)),
        on(lambda x: x.relu().reshape(-1, 8, 9, 4)),
        on(windows),
    ],
    "squeeze": [
        on(lambda x: functional.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1)),
        on(lambda x: functional.adaptive_avg_pool2d(x, 1).squeeze((2, 3))),
        on(lambda x: functional.adaptive_avg_pool2d(x, 1).squeeze(3).squeeze(2)),
        on(lambda x: x.mean(1, keepdim=True).squeeze(1).flatten(1)),
        on(lambda x: x.squeeze(2).relu()),
    ],
    "sym_size": [on(lambda x: x.relu().view(x.size(0), -1))],
    "to": [on(lambda x: x.relu().to(torch.float32) * 2), on(lambda x: x.float().relu())],
    "transpose": [on(lambda x: x.transpose(1, -1).relu())],
    "type_as": [on(lambda x: x.relu().type_as(x) * 2)],
    "unflatten": [
        on(lambda x: x.flatten(2).unflatten(2, (6, 12)).amax(3)),
        on(lambda x: x.flatten(1).unflatten(-1, (4, -1)).mean(2)),
    ],
    "unsqueeze": [on(lambda x: x * x.mean((2, 3)).unsqueeze(-1).unsqueeze(-1))],
    "view": [
        on(lambda x: x.relu().view(x.shape[0], -1)),
        on(lambda x: x.relu().view(-1, 288)),
        on(lambda x: x.relu().view(x.size(0), 2, 2, 72)),
        on(lambda x: x.view(x.size(0), 4, 9, 8).relu()),
        on(lambda x: x.relu().view(-1, 144).view(x.size(0), -1)),
    ],
}


def test_every_row_is_exercised() -> None:
    assert names_of(EXACT) == set(shapes.ROWS)


@pytest.mark.parametrize(("operator", "index"), by_number(EXACT))
def test_row_means_what_pytorch_means(operator: str, index: int) -> None:
    holds(EXACT[operator][index])


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (on(lambda x: x.squeeze(0).relu()), "squeezing the images"),
        (on(lambda x: functional.dropout(x, 0.5, training=True)), "training mode"),
        (on(lambda x: x.double().relu().float()), "float64"),
    ],
)
def test_what_a_row_cannot_say_is_refused(network: nn.Module, reason: str) -> None:
    refused(network, reason)
