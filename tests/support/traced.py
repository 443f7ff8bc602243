"""Small networks around one operator, which `trace` compares with PyTorch, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resnet_convert.graph.trace import trace
from resnet_serve.errors import ConversionError

SIZE = (4, 9, 8)
Cases = Mapping[str, Sequence[nn.Module]]


class Network(nn.Module):
    """FP32 images [N,4,9,8] to whatever `body` makes of them, averaged to logits."""

    def __init__(self, body: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x, *self.parts)
        while y.ndim > 2:
            y = y.mean(-1)
        return y


def on(body: Callable[..., Tensor], *modules: nn.Module) -> Network:
    return Network(body, *modules)


def through(*modules: nn.Module, seed: int = 0) -> Network:
    """The modules one after the other, with random parameters and statistics."""
    generator = torch.Generator().manual_seed(seed)
    network = Network(lambda x, *layers: nn.Sequential(*layers)(x), *modules)
    for module in network.modules():
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers()):
            if tensor.is_floating_point():
                low = 0.1 if name.endswith("var") else -0.5
                tensor.data.uniform_(low, 1.0, generator=generator)
    return network


def by_number(cases: Cases) -> list[tuple[str, int]]:
    return [(name, index) for name, networks in cases.items() for index in range(len(networks))]


def holds(network: nn.Module, size: tuple[int, int, int] = SIZE) -> None:
    """`trace` itself compares with PyTorch at batch 1 and 3; it raises where they differ."""
    found = trace(network, size)
    assert all(result.relative < 1e-5 for result in found.numerics.values())


def refused(network: nn.Module, reason: str) -> ConversionError:
    with pytest.raises(ConversionError, match=reason) as refusal:
        trace(network, SIZE)
    assert refusal.value.where
    assert refusal.value.remedy
    assert "\n" not in str(refusal.value)
    return refusal.value


def names_of(cases: Cases) -> set[str]:
    return {f"aten::{name}" for name in cases}


Body = Callable[[Tensor], Any]
