"""State dicts side by side."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether they have the same names and equal tensors."""
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)
