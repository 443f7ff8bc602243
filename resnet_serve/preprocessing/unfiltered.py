"""Bilinear interpolation without antialiasing: each pixel is mixed from four neighbours.

    source = (target + ½)·(old/new) − ½, not below 0

This is torch's `interpolate(mode="bilinear", align_corners=False)` on FP32, rounded half to even:
torchvision's `Resize(antialias=False)` of a tensor, and OpenCV's INTER_LINEAR within one level.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def resize(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture, 8 bits a channel, with `size` (width, height) pixels."""
    width, height = size
    pixels = np.asarray(picture)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    left, right, share = _neighbours(pixels.shape[1], width)
    top, bottom, part = _neighbours(pixels.shape[0], height)
    share, part = share[None, :, None], part[:, None, None]
    one = np.float32(1)

    def across(rows: NDArray[np.intp]) -> NDArray[np.float32]:
        chosen = pixels[rows]
        mixed: NDArray[np.float32] = (one - share) * chosen[:, left] + share * chosen[:, right]
        return mixed

    mixed = (one - part) * across(top) + part * across(bottom)
    rounded = np.rint(mixed).clip(0, 255).astype(np.uint8)
    return Image.fromarray(rounded[..., 0] if rounded.shape[-1] == 1 else rounded)


def _neighbours(
    old: int, new: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each of the `new` pixels: its two neighbours among the `old`, the second one's share."""
    half, scale = np.float32(0.5), np.float32(old) / np.float32(new)
    source = np.maximum((np.arange(new, dtype=np.float32) + half) * scale - half, np.float32(0))
    first = np.minimum(source.astype(np.intp), old - 1)
    second = np.minimum(first + 1, old - 1)
    return first, second, np.clip(source - first.astype(np.float32), 0, 1).astype(np.float32)
