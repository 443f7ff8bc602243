"""Images that nobody took: smooth colour noise, for numerics where no real image was given.

Good for comparing the arithmetic of two networks; says nothing about accuracy, and nothing is ever
calibrated on them.
"""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image


class SyntheticImages:
    """`count` RGB images of `side` pixels, the same ones for the same seed."""

    labels = None

    def __init__(self, count: int = 16, *, side: int = 256, seed: int = 0) -> None:
        self.name = f"{count} synthetic images"
        self._count, self._side, self._seed = count, side, seed

    def __len__(self) -> int:
        return self._count

    def name_of(self, index: int) -> str:
        return f"synthetic image {index}"

    def image(self, index: int) -> Image.Image:
        generator = np.random.default_rng((self._seed, index))
        coarse = generator.integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
        return Image.fromarray(coarse).resize((self._side, self._side), Image.Resampling.BICUBIC)

    def digest(self) -> str:
        return hashlib.sha256(f"{self.name} {self._side} {self._seed}".encode()).hexdigest()
