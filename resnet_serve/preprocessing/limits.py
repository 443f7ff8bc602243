"""Limits: the error of an image, and what an image may cost before it is refused.

They are part of a preprocessing, so that the converter, the server and the clients refuse the same
files. All but the time are checked before any pixel is decoded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from PIL import Image

from resnet_serve.errors import InputFileError

# The number of channels an image file may have: RGB, or grey.
CHANNELS = (3, 1)
# Pillow itself refuses 178 million pixels as a decompression bomb; a classifier needs far fewer.
MAX_PIXELS = 64_000_000


class ImageError(InputFileError):
    """This image cannot be decoded, or is too large to be decoded safely."""


class DamagedError(ImageError):
    """The bytes of this image are not those of a whole one."""


class TooLargeError(ImageError):
    """This image has more bytes or pixels than are allowed."""


@dataclass(frozen=True)
class Limits:
    """What one image may cost; a file beyond any of these is refused with `ImageError`.

    `max_pixels` is width × height, of which at most 4 bytes each are decoded; `max_aspect_ratio`
    the longer side over the shorter one; `max_file_bytes` the size of the encoded file; `max_scans`
    the scans of a progressive JPEG, each of which passes over all pixels. `max_seconds` is CPU time
    of the decoding thread, which does not depend on what else the host does. Raises
    `InputFileError` for values that cannot be used.
    """

    max_pixels: int = MAX_PIXELS
    max_aspect_ratio: float = 200.0
    max_file_bytes: int = 256 << 20
    max_scans: int = 100
    max_seconds: float = 4.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            whole = each.name not in ("max_aspect_ratio", "max_seconds")
            kinds = (int,) if whole else (int, float)
            if type(value) not in kinds or not math.isfinite(value) or value <= 0:
                kind = "a whole number" if whole else "a number"
                raise InputFileError(f"{each.name} must be {kind} above 0", where="preprocessing")
        if self.max_aspect_ratio < 1:
            raise InputFileError("max_aspect_ratio must be at least 1", where="preprocessing")


DEFAULTS = Limits()


def check_size(image: Image.Image, limits: Limits = DEFAULTS) -> None:
    """Raise `ImageError` for an image of more pixels, or of a longer shape, than are allowed."""
    width, height = image.size
    if width * height > limits.max_pixels:
        raise TooLargeError(
            f"{width} × {height} pixels are more than the {limits.max_pixels:,} allowed",
            remedy="Scale it down first.",
        )
    if max(width, height) > limits.max_aspect_ratio * min(width, height):
        raise ImageError(
            f"{width} × {height} pixels are too long and narrow: the longer side is more than "
            f"{limits.max_aspect_ratio:g} times the shorter",
            remedy="Cut it into pieces.",
        )


def check_file_size(size_bytes: int, limits: Limits = DEFAULTS) -> None:
    """Raise `ImageError` for a file of more bytes than are allowed."""
    if size_bytes > limits.max_file_bytes:
        raise TooLargeError(
            f"a file of {size_bytes:,} bytes is larger than the {limits.max_file_bytes:,} allowed",
            remedy="Scale the image down first.",
        )
