"""Normalizations against PyTorch, with affine parameters and without."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from traced import by_number, holds, names_of, on, refused, through

from resnet_convert.graph.operators import normalization


class LayerNorm2d(nn.LayerNorm):
    """Over the channels of each pixel, as ConvNeXt's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


EXACT = {
    "batch_norm": [
        through(nn.BatchNorm2d(4)),
        through(nn.BatchNorm2d(4, affine=False, eps=1e-3)),
        on(lambda x, layer: layer(x.mean((2, 3))), nn.BatchNorm1d(4).eval()),
    ],
    "group_norm": [
        through(nn.GroupNorm(2, 4)),
        through(nn.GroupNorm(1, 4, eps=1e-3)),
        on(lambda x, layer: layer(x) * x, nn.GroupNorm(4, 4, affine=False)),
        on(lambda x, layer: layer(x.flatten(2)), nn.GroupNorm(2, 4)),
    ],
    "instance_norm": [
        on(lambda x, layer: layer(x) * x, nn.InstanceNorm2d(4)),
        through(nn.InstanceNorm2d(4, affine=True)),
        through(nn.InstanceNorm2d(4, affine=True, track_running_stats=True)),
    ],
    "layer_norm": [
        through(nn.LayerNorm(8)),
        through(nn.LayerNorm((9, 8), eps=1e-6)),
        through(nn.LayerNorm((4, 9, 8), elementwise_affine=False)),
        through(nn.LayerNorm(8, bias=False)),
        through(LayerNorm2d(4)),
        on(lambda x: x * functional.layer_norm(x.mean((2, 3)), (4,))[..., None, None]),
    ],
    "linalg_vector_norm": [
        on(lambda x: functional.normalize(x.mean((2, 3)))),
        on(lambda x: functional.normalize(x, dim=1)),
        on(lambda x: torch.linalg.vector_norm(x, 1, dim=(2, 3))),
    ],
    "norm": [on(lambda x: x.norm(2, 1)), on(lambda x: x.norm(p=1, dim=(2, 3), keepdim=True))],
    "rms_norm": [through(nn.RMSNorm(8)), through(nn.RMSNorm((9, 8), elementwise_affine=False))],
    "std": [on(lambda x: x.std((2, 3))), on(lambda x: x.std(1, keepdim=True, unbiased=False))],
    "var": [on(lambda x: x.var((2, 3))), on(lambda x: x.var(1, keepdim=True, correction=0))],
    "var_mean": [on(lambda x: sum(torch.var_mean(x, (2, 3), keepdim=True)) * x)],
}


def test_every_row_is_exercised() -> None:
    assert names_of(EXACT) == set(normalization.ROWS)


@pytest.mark.parametrize(("operator", "index"), by_number(EXACT))
def test_row_means_what_pytorch_means(operator: str, index: int) -> None:
    holds(EXACT[operator][index])


@settings(max_examples=6, deadline=None, derandomize=True)
@given(
    groups=st.integers(1, 4),
    width=st.integers(1, 3),
    sides=st.tuples(st.integers(2, 9), st.integers(2, 9)),
)
def test_norms_of_any_size(groups: int, width: int, sides: tuple[int, int]) -> None:
    channels = groups * width
    layers = (nn.GroupNorm(groups, channels), LayerNorm2d(channels), nn.LayerNorm(sides[-1]))
    holds(through(*layers), (channels, *sides))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (
            on(lambda x: functional.batch_norm(x, None, None, training=True)),
            "without running statistics",
        ),
        (through(nn.BatchNorm2d(4, track_running_stats=False)), "without running statistics"),
        (on(lambda x: x.norm(3, 1)), "order 3"),
        (on(lambda x: x / x.std()), "variance over the images"),
        (on(lambda x: x / x.norm()), "norm over the images"),
    ],
)
def test_what_a_row_cannot_say_is_refused(network: nn.Module, reason: str) -> None:
    refused(network, reason)
