"""Ranges: the smallest and largest value of a tensor, which its quantization grid is made from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """The interval [low, high] of a tensor's values: as observed, or as a method clipped it."""

    low: float
    high: float
