"""Synthetic images: smooth colour noise, for numerics where no real images are given.

They serve to compare the arithmetic of two networks, not their accuracy, and are never used for
calibration.
"""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image


class SyntheticImages:
    """`count` RGB images of `side` × `side` pixels, the same ones for the same seed."""

    labels = None

    def __init__(self, count: int = 16, *, side: int = 256, seed: int = 0) -> None:
        self.name = f"{count} synthetic images"
        self._count, self._side, self._seed = count, side, seed

    def __len__(self) -> int:
        return self._count

    def name_of(self, index: int) -> str:
        """The name of image `index` in reports."""
        return f"synthetic image {index}"

    def image(self, index: int) -> Image.Image:
        """Image `index` in RGB."""
        generator = np.random.default_rng((self._seed, index))
        coarse = generator.integers(0, 256, size=(8, 8, 3), dtype=np.uint8)
        return Image.fromarray(coarse).resize((self._side, self._side), Image.Resampling.BICUBIC)

    def digest(self) -> str:
        """SHA-256 of the images."""
        return hashlib.sha256(f"{self.name} {self._side} {self._seed}".encode()).hexdigest()
