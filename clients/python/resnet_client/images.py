"""An image in any of the accepted forms, as an RGB picture or as the bytes of an image file.

path, file, bytes ──────┐
array [H,W,3 or 4] ─────┼─► upright RGB picture       (decode="client")
PIL image ── upright ───┘     └─ PNG, lossless ─► bytes   (decode="server"; files unchanged)
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from stat import S_ISBLK, S_ISCHR, S_ISREG, S_ISSOCK
from types import TracebackType
from typing import Any, Protocol, TypeAlias

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


class Readable(Protocol):
    """A file opened in binary mode, or anything else with its `read`, such as BytesIO."""

    def read(self) -> bytes:
        """The rest of the file."""


ImageLike: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | NDArray[np.uint8]
    | Image.Image
    | Readable
)

_PATHS = (str, os.PathLike)
_BYTES = (bytes, bytearray, memoryview)
_NO_FILES = (*_BYTES, *_PATHS)


def name_of(image: ImageLike) -> str:
    """The name of the image in messages: its path, or `image`."""
    named = getattr(image, "name", None) if _is_file(image) else image
    return os.fspath(named) if isinstance(named, _PATHS) else "image"


def read_once(image: ImageLike) -> ImageLike:
    """The image in a form that can be read again: of a file, the bytes from where it stands.

    Raises `BadImageError` for a file that cannot be read or is open as text.
    """
    if not _is_file(image):
        return image
    with _explained(image):
        data = image.read()  # type: ignore[union-attr]
        if not isinstance(data, bytes):
            raise ImageError(
                f"reading it gives {type(data).__name__}, not bytes",
                remedy="Open the file in binary mode, 'rb'.",
            )
        return data


def picture(image: ImageLike, limits: Limits | None = None) -> Image.Image:
    """The image as upright 8-bit RGB; raises `BadImageError` for anything wrong with it.

    `limits` are what it may cost, those of a preprocessing.
    """
    limits = limits or Limits()
    with _explained(image):
        image = read_once(image)
        if isinstance(image, _PATHS):
            return decode(_file(image), limits)
        if isinstance(image, _BYTES):
            return decode(bytes(image), limits)
        if isinstance(image, np.ndarray):
            return to_rgb(from_array(image))
        if isinstance(image, Image.Image):
            return upright(image, limits)
        raise ImageError(
            f"a {type(image).__name__} is not an image",
            remedy="Give a path, a file, its bytes, a UINT8 array [H,W,3] or a PIL image.",
        )


def pixels(image: ImageLike, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The network's input, UINT8 [H,W,3], after resize and crop; raises `BadImageError`."""
    with _explained(image):
        return preprocessing.pixels(picture(image, preprocessing.limits))


def encoded(image: ImageLike) -> bytes:
    """The bytes of an image file: the file's own, or a PNG of a picture or an array.

    Raises `BadImageError` for a file that cannot be read, and for what is not an image.
    """
    image = read_once(image)
    if isinstance(image, _BYTES):
        return bytes(image)
    if isinstance(image, _PATHS):
        with _explained(image):
            _check_kind(image)
            with open(image, "rb", buffering=0) as content:  # noqa: PTH123 - half the time of Path.read_bytes
                return content.read()
    file = io.BytesIO()
    picture(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _is_file(image: Any) -> bool:
    """Whether it is a file; arrays and PIL images have no `read`."""
    return not isinstance(image, _NO_FILES) and hasattr(image, "read")


def _file(path: str | os.PathLike[str]) -> Path:
    """The path, unless reading it would never end; raises `ImageError`."""
    _check_kind(path)
    return Path(path)


def _check_kind(path: str | os.PathLike[str]) -> None:
    mode = os.stat(path).st_mode  # noqa: PTH116 - no Path is made for it
    if S_ISREG(mode):
        return
    for kind, is_kind in (("socket", S_ISSOCK), ("device", S_ISCHR), ("device", S_ISBLK)):
        if is_kind(mode):
            raise ImageError(f"is a {kind}, not an image", where=os.fspath(path))


class _explained:  # noqa: N801 - a context manager; contextlib's takes three times as long
    """Whatever goes wrong with an image, as a `BadImageError`."""

    __slots__ = ("_image",)

    def __init__(self, image: ImageLike) -> None:
        self._image = image

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, BadImageError):
            return
        if isinstance(error, ImageError):
            where = error.where or name_of(self._image)
            raise BadImageError(error.what, where=where, remedy=error.remedy) from error
        # A lazily opened PIL image decodes here, and raises anything.
        reason = getattr(error, "strerror", None)
        what = f"cannot read ({reason})" if reason else f"damaged image ({error})"
        raise BadImageError(what, where=name_of(self._image)) from error
