"""PyTorch, eager, FP32: what the others are compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def convert(folder: Path) -> None:
    """Nothing is converted."""


def load(folder: Path) -> Callable[[Any], Any]:
    """The network itself."""
    network = torch.load(folder / "network.pt", weights_only=False).eval()

    def run(images: Any) -> Any:
        with torch.inference_mode():
            return network(torch.from_numpy(images)).numpy()

    return run
