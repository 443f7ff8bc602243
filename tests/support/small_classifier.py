"""A small network around any operation, for the tests of tracing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Classifier(nn.Module):
    """A convolution, then `body`, then the mean and a linear layer."""

    def __init__(self, body: Callable[[Any, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)
        for name, module in modules.items():
            self.add_module(name, module)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self, self.conv(x)).mean((2, 3)))


SIZE = (3, 8, 8)
