"""Decoding: an image file to an upright 8-bit RGB picture, or one error that names the reason."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from resnet_serve.preprocessing import signatures, structure
from resnet_serve.preprocessing.bounded_file import BoundedFile
from resnet_serve.preprocessing.limits import (
    DEFAULTS,
    DamagedError,
    ImageError,
    Limits,
    TooLargeError,
    check_file_size,
    check_size,
)
from resnet_serve.preprocessing.modes import check_colours_of_16_bits, to_rgb

# Listed here, because Pillow's own list includes decoders that start other programs (EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM")
# Their suffixes, of Pillow's own list.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif", ".avifs"),
    *(".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
)
_EXIF_ORIENTATION = 0x0112
_TURNED = "orientation"
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ResultT = TypeVar("ResultT")
# What a PNG that has an orientation contains somewhere, also behind its pixels.
_PNG_METADATA = (b"eXIf", b"Raw profile type", b"Orientation")
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH = 24  # the place of the bit depth in a PNG


def decode(source: bytes | Path, limits: Limits = DEFAULTS) -> Image.Image:
    """Decode a file in one of `FORMATS` to an upright RGB image; of an animation, the first frame.

    `limits` are checked before any pixel is decoded, and the time while they are. CMYK, palette,
    grayscale, 16-bit and alpha images are converted to 8-bit RGB (alpha is dropped, `modes` has the
    range of more than 8 bits); the EXIF orientation is applied, which `orientation_of` says
    afterwards. Raises `ImageError`, and no other error, for bytes that cannot be decoded.
    """
    return _explained(source, limits, lambda data: _decoded(data, limits))


def orientation_in(source: bytes | Path, limits: Limits = DEFAULTS) -> int:
    """The EXIF orientation (1 to 8) that `decode` would apply to a file, from its metadata alone.

    Raises `ImageError` as `decode` does for what is seen without the pixels: not an image, another
    format, a damaged header, too large.
    """
    return _explained(source, limits, lambda data: _header(data, limits))


def _explained(source: bytes | Path, limits: Limits, read: Callable[[bytes], ResultT]) -> ResultT:
    name = "image" if isinstance(source, bytes) else str(source)
    try:
        size_bytes = len(source) if isinstance(source, bytes) else source.stat().st_size
        check_file_size(size_bytes, limits)
        data = source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read ({error.strerror})", where=name) from error
    except ImageError as error:
        raise type(error)(error.what, where=name, remedy=error.remedy) from error
    if not data:
        raise ImageError("the image is empty (0 bytes)", where=name)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # errors are raised, not warned of
            return read(data)
    except Image.DecompressionBombError as error:
        raise TooLargeError(
            f"too large to decode{_pixels(error)}", where=name, remedy="Scale it down first."
        ) from error
    except UnidentifiedImageError as error:
        known = signatures.not_decoded(data, FORMATS)
        raise ImageError(known.what, where=name, remedy=known.remedy) from error
    except ImageError as error:
        raise type(error)(error.what, where=name, remedy=error.remedy) from error
    except (ValueError, MemoryError, OverflowError) as error:
        if "MAX_TEXT" in str(error):
            raise ImageError(
                "its text or colour profile is larger than 1 MiB when unpacked",
                where=name,
                remedy="Save it again without metadata.",
            ) from error
        raise DamagedError(f"damaged image ({error or 'too large'})", where=name) from error
    except Exception as error:  # a decoder may raise anything for hostile bytes
        raise DamagedError(f"damaged image ({error})", where=name) from error


def _pixels(error: Image.DecompressionBombError) -> str:
    """The number of pixels of which Pillow complains, without its advice to programmers."""
    found = re.search(r"\((\d+) pixels\)", str(error))
    return f": {int(found[1]):,} pixels" if found else ""


def upright(image: Image.Image, limits: Limits = DEFAULTS) -> Image.Image:
    """The picture that `decode` makes of the file of an opened image.

    Of `limits`, the size of the picture is checked: the file was opened by the caller. Raises
    `ImageError`, and what a decoder raises for a damaged file.
    """
    check_size(image, limits)
    image.load()
    return _turned(image, None)


def orientation_of(picture: Image.Image) -> int:
    """The EXIF orientation (1 to 8) that `decode` applied to a picture; 1 where nothing changed.

    torchvision's `ImageFolder` does not apply it, so that an evaluation with it sees other pixels.
    """
    return int(picture.info.get(_TURNED, 1))


def _opened(data: bytes, limits: Limits) -> Image.Image:
    structure.check_metadata(data)
    image = Image.open(BoundedFile(data, limits), formats=FORMATS)
    check_size(image, limits)
    structure.check_pixels(image, data, limits)
    return image


def _decoded(data: bytes, limits: Limits) -> Image.Image:
    image = _opened(data, limits)
    image.load()
    white = None
    if data.startswith(_PNG):
        white = _png_white(image, data)
    deep = data[_PNG_DEPTH] == 16 if data.startswith(_PNG) else _is_deep_tiff(image)
    if deep and image.mode in ("RGB", "RGBA") and white is None:
        check_colours_of_16_bits(image)
    return _turned(image, white)


def _header(data: bytes, limits: Limits) -> int:
    image = _opened(data, limits)
    # Pillow decodes the pixels of a PNG to look for metadata behind them.
    if data.startswith(_PNG) and not any(each in data for each in _PNG_METADATA):
        return 1
    return _orientation(image)


def _orientation(image: Image.Image) -> int:
    structure.check_exif(image)
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    return int(orientation) if orientation in _UPRIGHT else 1


def _turned(image: Image.Image, white: int | None) -> Image.Image:
    orientation = _orientation(image)
    turn = _UPRIGHT.get(orientation)
    picture = to_rgb(image, white)
    if turn is not None:
        picture = picture.transpose(turn)
        picture.info[_TURNED] = orientation
    else:
        picture.info.pop(_TURNED, None)
    return picture


def _is_deep_tiff(image: Image.Image) -> bool:
    bits = getattr(image, "tag_v2", {}).get(258, ())
    return isinstance(bits, tuple) and len(bits) >= 3 and max(bits) > 8


def _png_white(image: Image.Image, data: bytes) -> int | None:
    """The value of white by the sBIT chunk of a PNG of 16 bits, or None.

    The standard scales samples to 16 bits; files that keep fewer bits as they are do not.
    """
    place = data.find(b"sBIT", 0, 4096)
    if data[_PNG_DEPTH] != 16 or place < 0 or place > (data.find(b"IDAT") % len(data)):
        return None
    bits = data[place + 4]
    if not 8 < bits <= 16 or image.mode in ("RGB", "RGBA"):
        return 0xFFFF if bits == 16 else None
    highest = image.getextrema()[1]
    raw = isinstance(highest, int | float) and highest < 1 << bits
    return (1 << bits) - 1 if raw else 0xFFFF
