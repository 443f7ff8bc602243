"""torch.compile, FP32: nothing is quantized."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def convert(folder: Path) -> None:
    """Nothing to write: it compiles when it is first run."""


def load(folder: Path) -> Callable[[Any], Any]:
    """Compiled by Inductor."""
    network = torch.load(folder / "network.pt", weights_only=False).eval()
    compiled = torch.compile(network)

    def run(images: Any) -> Any:
        with torch.inference_mode():
            return compiled(torch.from_numpy(images)).numpy()

    return run
