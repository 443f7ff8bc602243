"""Sums, products, reductions and attention against PyTorch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from traced import by_number, holds, names_of, on, refused

from resnet_convert.graph.operators import arithmetic


def heads(x: Tensor) -> Tensor:
    """[N,4,9,8] as two heads of 9 tokens, [N,2,9,16]."""
    return x.reshape(x.shape[0], 2, 2, 9, 8).permute(0, 1, 3, 2, 4).flatten(3)


def attention(**options):
    def body(x: Tensor) -> Tensor:
        y = heads(x)
        return functional.scaled_dot_product_attention(y, y.relu(), y.tanh(), **options)

    return on(body)


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(1, 2)
        return self.attention(tokens, tokens, tokens)[0].mean(1)


EXACT = {
    "add": [
        on(lambda x: x + x.relu()),
        on(lambda x: x + 1),
        on(lambda x: 0.5 + x),
        on(lambda x: torch.add(x, x.relu(), alpha=2)),
        on(lambda x: x + torch.arange(8)),
    ],
    "amax": [on(lambda x: x.amax((2, 3))), on(lambda x: x * x.amax(1, keepdim=True))],
    "amin": [on(lambda x: x.amin(-1))],
    "baddbmm": [
        on(lambda x: torch.baddbmm(x[:, 0], x[:, 1], x[:, 2, :8], alpha=0.5, beta=2)),
    ],
    "bmm": [on(lambda x: torch.bmm(x[:, 0], x[:, 1].transpose(1, 2)))],
    "div": [on(lambda x: x / 3), on(lambda x: x / (x.abs() + 1)), on(lambda x: 2 / (x.abs() + 1))],
    "einsum": [
        on(lambda x: torch.einsum("nchw, ndhw -> ncd", x, x.relu())),
        on(lambda x: torch.einsum("nchw,cd->ndhw", x, torch.ones(4, 3))),
    ],
    "matmul": [
        on(lambda x: x @ x.transpose(-1, -2)),
        on(lambda x: x @ torch.linspace(0, 1, 24).view(8, 3)),
    ],
    "max": [on(lambda x: x.max(1).values), on(lambda x: torch.max(x, -x))],
    "maximum": [on(lambda x: torch.maximum(x, x.sin()))],
    "mean": [
        on(lambda x: x.mean((2, 3))),
        on(lambda x: x.mean((-1, -2), keepdim=True)),
        on(lambda x: x * x.mean(1, keepdim=True)),
        on(lambda x: x.mean(3, keepdim=True)),
        on(lambda x: x.permute(1, 0, 2, 3).mean(0)),
    ],
    "minimum": [on(lambda x: torch.minimum(x, x.cos()))],
    "mul": [on(lambda x: x * x.relu()), on(lambda x: x * 3), on(lambda x: 0.1 * x)],
    "pow": [
        on(lambda x: x**2),
        on(lambda x: x.abs() ** 0.5),
        on(lambda x: x.abs().pow(2.7)),
        on(lambda x: x.abs() ** torch.linspace(1, 2, 8)),
        on(lambda x: 2**x),
    ],
    "rsub": [on(lambda x: 1 - x), on(lambda x: torch.rsub(x, x.relu(), alpha=2))],
    "scaled_dot_product_attention": [
        attention(),
        attention(scale=0.3),
        attention(is_causal=True),
        attention(attn_mask=torch.linspace(-3, 3, 81).view(9, 9)),
        attention(attn_mask=torch.ones(9, 9, dtype=torch.bool).tril(2)),
        SelfAttention(),
    ],
    "sub": [on(lambda x: x - x.relu()), on(lambda x: x - 2), on(lambda x: x.sub(x.cos(), alpha=3))],
    "sum": [on(lambda x: x.sum((2, 3))), on(lambda x: x * x.sum(1, keepdim=True))],
}


def test_every_row_is_exercised() -> None:
    assert names_of(EXACT) == set(arithmetic.ROWS)


@pytest.mark.parametrize(("operator", "index"), by_number(EXACT))
def test_row_means_what_pytorch_means(operator: str, index: int) -> None:
    holds(EXACT[operator][index])


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (on(lambda x: x * x.mean()), "mean over the images"),
        (on(lambda x: x + x.mean(0, keepdim=True)), "mean over the images"),
        (on(lambda x: x / x.sum()), "sum over the images"),
        (on(lambda x: x / x.max()), "maximum over the images"),
        (on(lambda x: torch.div(x, 2, rounding_mode="floor")), "rounding_mode"),
        (on(lambda x: x * x.shape[0]), "the number of images in a computation"),
        (on(lambda x: x + torch.rand(8)), "aten::rand, random numbers"),
        (on(lambda x: x.cumprod(1)), "aten::cumprod"),
    ],
)
def test_what_a_row_cannot_say_is_refused(network: nn.Module, reason: str) -> None:
    refused(network, reason)
