"""Compiled: what a runtime made of a model file, read from the runtime itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NOT_FOUND = "not found"


@dataclass(frozen=True)
class Compiled:
    """What one run of a model at batch 1 really executed.

    `operators` counts them by kind. `convolutions` gives, by PyTorch layer name, the precision that
    each convolution of the file is computed in ("int8", "bf16", "fp32"), `NOT_FOUND` for one that
    no executed operator names; it is None where the runtime does not report this.
    """

    operators: Mapping[str, int]
    convolutions: Mapping[str, str] | None = None
