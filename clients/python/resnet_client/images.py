"""An image in any of the accepted forms, as an RGB picture or as the bytes of an image file.

path, bytes ── decode ──┐
array [H,W,3] ──────────┼─► upright RGB picture       (decode="client")
PIL image ── upright ───┘     └─ PNG, lossless ─► bytes   (decode="server"; files unchanged)
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_client.errors import BadImageError
from resnet_serve.preprocessing import (
    ImageError,
    Limits,
    Preprocessing,
    decode,
    from_array,
    to_rgb,
    upright,
)

ImageLike: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[np.uint8] | Image.Image
)

_PATHS = (str, os.PathLike)
_BYTES = (bytes, bytearray, memoryview)


def name_of(image: ImageLike) -> str:
    """The name of the image in messages: its path, or `image`."""
    return os.fspath(image) if isinstance(image, _PATHS) else "image"


def picture(image: ImageLike, limits: Limits | None = None) -> Image.Image:
    """The image as upright 8-bit RGB; raises `BadImageError` for anything wrong with it.

    `limits` are what it may cost, those of a preprocessing.
    """
    limits = limits or Limits()
    with _explained(image):
        if isinstance(image, _PATHS):
            return decode(Path(image), limits)
        if isinstance(image, _BYTES):
            return decode(bytes(image), limits)
        if isinstance(image, np.ndarray):
            return to_rgb(from_array(image))
        if isinstance(image, Image.Image):
            return upright(image, limits)
        raise ImageError(
            f"a {type(image).__name__} is not an image",
            remedy="Give a path, the bytes of a file, a UINT8 array [H,W,3] or a PIL image.",
        )


def pixels(image: ImageLike, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The network's input, UINT8 [H,W,3], after resize and crop; raises `BadImageError`."""
    with _explained(image):
        return preprocessing.pixels(picture(image, preprocessing.limits))


def encoded(image: ImageLike) -> bytes:
    """The bytes of an image file: the file's own, or a PNG of a picture or an array.

    Raises `BadImageError` for a file that cannot be read, and for what is not an image.
    """
    if isinstance(image, _BYTES):
        return bytes(image)
    if isinstance(image, _PATHS):
        with _explained(image):
            return Path(image).read_bytes()
    file = io.BytesIO()
    picture(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


@contextmanager
def _explained(image: ImageLike) -> Iterator[None]:
    try:
        yield
    except BadImageError:
        raise
    except ImageError as error:
        where = error.where or name_of(image)
        raise BadImageError(error.what, where=where, remedy=error.remedy) from error
    except Exception as error:  # a lazily opened PIL image decodes here, and raises anything
        reason = getattr(error, "strerror", None)
        what = f"cannot read ({reason})" if reason else f"damaged image ({error})"
        raise BadImageError(what, where=name_of(image)) from error
