"""Batch profiles of a GPU engine: the batch sizes it runs, and the one it is tuned for.

    --batch 1:8:32                    minimum : optimum : maximum
    --batch 1:1:4 --batch 4:16:64     two profiles

A TensorRT engine has one optimization profile for each; a batch outside every profile cannot run.
Reference: TensorRT developer guide, "Working with Dynamic Shapes".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnet_serve.errors import UsageError

_REMEDY = "Write MIN:OPT:MAX with 1 ≤ MIN ≤ OPT ≤ MAX, for instance 1:8:32."
LARGEST_BATCH = 65_536  # more images of 224 px overflow 32-bit element counts


@dataclass(frozen=True, order=True)
class Profile:
    """Batch sizes from `minimum` to `maximum`; TensorRT chooses the kernels for `optimum`.

    Raises `UsageError` unless 1 ≤ minimum ≤ optimum ≤ maximum ≤ `LARGEST_BATCH`.
    """

    minimum: int
    optimum: int
    maximum: int

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.optimum <= self.maximum <= LARGEST_BATCH:
            raise UsageError(f"{self} is no batch profile", remedy=_REMEDY)

    @classmethod
    def parse(cls, text: str) -> Profile:
        """Read `MIN:OPT:MAX`, or one number for a fixed batch; raises `UsageError`."""
        parts = text.split(":")
        parts = parts * 3 if len(parts) == 1 else parts
        if len(parts) != 3 or not all(part.isascii() and part.isdecimal() for part in parts):
            raise UsageError(f"{text!r} is no batch profile", remedy=_REMEDY)
        return cls(*map(int, parts))

    def covers(self, batch: int) -> bool:
        """Whether a batch of this size runs in this profile."""
        return self.minimum <= batch <= self.maximum

    def __str__(self) -> str:
        return f"{self.minimum}:{self.optimum}:{self.maximum}"


def covering(profiles: Sequence[Profile]) -> int:
    """The largest batch of the profiles; raises `UsageError` unless they cover every size up to it.

    Triton's batcher forms batches of any size up to `max_batch_size`; one in a gap would fail.
    """
    if not profiles:
        raise UsageError("an engine needs a batch profile", remedy=_REMEDY)
    reached = 0
    for profile in sorted(profiles):
        if profile.minimum > reached + 1:
            gap = f"batch {reached + 1}" if reached else "a batch of 1"
            raise UsageError(
                f"no profile covers {gap}: {', '.join(map(str, profiles))}",
                remedy="Give profiles that cover every batch from 1 to the largest.",
            )
        reached = max(reached, profile.maximum)
    return reached


def serving(profiles: Sequence[Profile], batch: int) -> int:
    """The index of the profile for a batch: of those that cover it, the one of nearest optimum.

    Raises `UsageError` where no profile covers it.
    """
    fitting = [index for index, profile in enumerate(profiles) if profile.covers(batch)]
    if not fitting:
        raise UsageError(
            f"a batch of {batch} is outside the engine's profiles "
            f"({', '.join(map(str, profiles))})",
            remedy="Build the engine with a --batch that covers it, or send smaller batches.",
        )
    return min(fitting, key=lambda index: abs(profiles[index].optimum - batch))
