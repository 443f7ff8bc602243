"""Every row of the table against PyTorch, and what each row refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_convert.graph.operators import ROWS
from resnet_convert.graph.trace import trace
from resnet_serve.errors import ConversionError


class Network(nn.Module):
    """FP32 images [N,4,9,8] to whatever `body` makes of them, averaged to logits."""

    def __init__(self, body: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x, *self.parts)
        return y if y.ndim == 2 else y.mean((2, 3))


SIZE = (4, 9, 8)


def trained_norm(**options: Any) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(4, **options)
    torch.manual_seed(0)
    for tensor in (norm.running_mean, norm.weight, norm.bias):
        if tensor is not None:
            nn.init.normal_(tensor)
    nn.init.uniform_(norm.running_var, 0.1, 2)
    return norm


def conv(*arguments: Any, **options: Any) -> Network:
    torch.manual_seed(0)
    return Network(lambda x, layer: layer(x), nn.Conv2d(*arguments, **options))


def on(body: Callable[[Tensor], Tensor]) -> Network:
    return Network(body)


EXACT: dict[str, list[Network]] = {
    "aten::conv2d": [
        conv(4, 6, 3),
        conv(4, 6, 3, padding=1, bias=False),
        conv(4, 6, (3, 1), stride=(2, 1), padding=(1, 0)),
        conv(4, 8, 3, groups=4, dilation=2, padding=2),
        Network(lambda x, layer: functional.conv2d(x, layer.weight), nn.Conv2d(4, 2, 1)),
    ],
    "aten::batch_norm": [
        Network(lambda x, layer: layer(x), trained_norm()),
        Network(lambda x, layer: layer(x), trained_norm(affine=False, eps=1e-3)),
    ],
    "aten::relu": [on(torch.relu), on(lambda x: functional.relu(x + 0, inplace=True))],
    "aten::max_pool2d": [
        on(lambda x, o=options: functional.max_pool2d(x, **o))
        for options in (
            {"kernel_size": 2},
            {"kernel_size": 3, "stride": 2, "padding": 1},
            {"kernel_size": (3, 2), "stride": (1, 2), "dilation": (2, 1)},
            {"kernel_size": 2, "stride": 2, "ceil_mode": True},
            {"kernel_size": 3, "stride": 3, "padding": 1, "ceil_mode": True},
        )
    ],
    "aten::avg_pool2d": [
        on(lambda x, o=options: functional.avg_pool2d(x, **o))
        for options in (
            {"kernel_size": 2},
            {"kernel_size": 3, "stride": 2, "padding": 1},
            {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
            {"kernel_size": 2, "stride": 2, "ceil_mode": True},
            {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        )
    ],
    "aten::adaptive_avg_pool2d": [
        on(lambda x: functional.adaptive_avg_pool2d(x, 1)),
        on(lambda x: functional.adaptive_avg_pool2d(x, (3, 4))),
        on(lambda x: functional.adaptive_avg_pool2d(x, (9, 8)).relu()),
    ],
    "aten::mean": [
        on(lambda x: x.mean((2, 3))),
        on(lambda x: x.mean((-1, -2), keepdim=True)),
        on(lambda x: x * x.mean(1, keepdim=True)),
        on(lambda x: x.mean(3, keepdim=True)),
    ],
    "aten::flatten": [on(lambda x: x.flatten(1)), on(lambda x: torch.flatten(x, 1, 3))],
    "aten::linear": [
        Network(lambda x, layer: layer(x.mean((2, 3))), nn.Linear(4, 7)),
        Network(lambda x, layer: layer(x.mean((2, 3))), nn.Linear(4, 7, bias=False)),
    ],
    "aten::add": [on(lambda x: x + x.relu()), on(lambda x: x + 1), on(lambda x: 0.5 + x)],
    "aten::mul": [on(lambda x: x * x.relu()), on(lambda x: x * 3), on(lambda x: 0.1 * x)],
    "aten::cat": [
        on(lambda x: torch.cat([x, x.relu()], 1)),
        on(lambda x: torch.cat([x, x.relu(), x], -1)),
    ],
    "aten::sym_size": [on(lambda x: x.relu().view(x.size(0), -1))],
    "aten::view": [
        on(lambda x: x.relu().view(x.shape[0], -1)),
        on(lambda x: x.relu().view(-1, 288)),
        on(lambda x: x.relu().view(x.size(0), 2, 2, 72)),
        on(lambda x: x.view(x.size(0), 4, 9, 8).relu()),
    ],
    "aten::reshape": [
        on(lambda x: x.relu().reshape(x.shape[0], -1)),
        on(lambda x: x.relu().reshape(-1, 8, 9, 4)),
    ],
    "aten::squeeze": [
        on(lambda x: functional.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1)),
        on(lambda x: functional.adaptive_avg_pool2d(x, 1).squeeze((2, 3))),
        on(lambda x: functional.adaptive_avg_pool2d(x, 1).squeeze(3).squeeze(2)),
        on(lambda x: x.mean(1, keepdim=True).squeeze(1).flatten(1)),
        on(lambda x: x.squeeze(2).relu()),
    ],
    "aten::slice": [
        on(lambda x: x[:, :, ::2, ::2]),
        on(lambda x: x[:, 1:3, -5:-1]),
        on(lambda x: x[:, :, :100, 3:]),
        on(lambda x: x[:, :, :, :].relu()),
    ],
    "aten::pad": [
        on(lambda x: functional.pad(x, (0, 0, 0, 0, 2, 3))),
        on(lambda x: functional.pad(x, (1, 2), value=2.5)),
        on(lambda x: functional.pad(x, (1, -1, -2, 1))),
    ],
    "aten::constant_pad_nd": [on(lambda x: torch.constant_pad_nd(x, (1, 2, 0, 1), -1.0))],
    "aten::dropout": [Network(lambda x, layer: layer(x).relu(), nn.Dropout(0.9))],
    "aten::clone": [on(lambda x: x.clone().relu())],
    "aten::contiguous": [on(lambda x: x.contiguous().relu())],
    "aten::detach": [on(lambda x: x.detach().relu())],
    "aten::lift_fresh_copy": [on(lambda x: x * torch.tensor([[[2.0]], [[3.0]], [[4.0]], [[5.0]]]))],
}


def test_every_row_is_exercised() -> None:
    assert set(EXACT) == set(ROWS)


@pytest.mark.parametrize(
    ("operator", "index"),
    [(operator, index) for operator, networks in EXACT.items() for index in range(len(networks))],
)
def test_row_means_what_pytorch_means(operator: str, index: int) -> None:
    """`trace` itself compares with PyTorch at batch 1 and 3; it raises where they differ."""
    found = trace(EXACT[operator][index], SIZE)
    assert all(result.relative < 1e-5 for result in found.numerics.values())


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (conv(4, 4, 3, padding="same"), "padding='same'"),
        (conv(4, 4, 3, padding=1, padding_mode="reflect"), "reflect padding"),
        (
            on(lambda x: functional.batch_norm(x, None, None, training=True)),
            "without running statistics",
        ),
        (
            Network(lambda x, layer: layer(x), nn.BatchNorm2d(4, track_running_stats=False)),
            "without running statistics",
        ),
        (on(lambda x: functional.avg_pool2d(x, 2, divisor_override=3)), "divisor_override"),
        (on(lambda x: functional.adaptive_avg_pool2d(x, 2)), "only to a divisor"),
        (on(lambda x: x.relu().view(-1, 144).view(x.size(0), -1)), "across images"),
        (on(lambda x: torch.cat([x, x], 0).view(x.size(0), -1)), "concatenation of images"),
        (on(lambda x: x.squeeze(0).relu()), "squeezing the images"),
        (on(lambda x: x * x.mean()), "mean over the images"),
        (on(lambda x: x + x.mean(0, keepdim=True)), "mean over the images"),
        (on(lambda x: x.flatten(2).mean(2)), "flattening"),
        (Network(lambda x, layer: layer(x), nn.Linear(8, 3)), "over 4 dimensions"),
        (on(lambda x: torch.add(x, x, alpha=2)), "alpha=2"),
        (on(lambda x: functional.pad(x, (1, 1, 1, 1), mode="circular")), "circular padding"),
        (on(lambda x: functional.dropout(x, 0.5, training=True)), "training mode"),
        (on(functional.relu6), "aten::relu6"),
        (on(lambda x: x - x.relu()), "aten::sub"),
    ],
)
def test_what_a_row_cannot_say_is_refused(network: Network, reason: str) -> None:
    with pytest.raises(ConversionError, match=reason) as refusal:
        trace(network, SIZE)
    assert refusal.value.where
    assert "\n" not in str(refusal.value)
