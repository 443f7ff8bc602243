"""Limits: the error of an image, and how large an image may be before anything is decoded."""

from __future__ import annotations

from PIL import Image

from resnet_serve.errors import InputFileError

# The number of channels an image file may have: RGB, or grey.
CHANNELS = (3, 1)
# Pillow itself refuses 178 million pixels as a decompression bomb; a classifier needs far fewer.
MAX_PIXELS = 64_000_000


class ImageError(InputFileError):
    """This image cannot be decoded, or is too large to be decoded safely."""


def check_size(image: Image.Image, max_pixels: int = MAX_PIXELS) -> None:
    """Raise `ImageError` for an image of more pixels than are allowed."""
    if image.width * image.height > max_pixels:
        raise ImageError(
            f"{image.width} × {image.height} pixels are more than the {max_pixels:,} allowed",
            remedy="Scale it down first.",
        )
