"""Images of noise: no two pixels alike, so that a shift of one pixel shows."""

from __future__ import annotations

import numpy as np
from PIL import Image


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    """RGB without black, the colour of padding."""
    generator = np.random.default_rng((seed, height, width))
    return Image.fromarray(generator.integers(1, 256, (height, width, 3), dtype=np.uint8))
