"""Modes: 8-bit RGB from the pixel formats that files have.

More than 8 bits need to know which value is white:

    declared          TIFF with 12 bits, or MaxSampleValue 2ⁿ−1; PNG with sBIT; PPM: that value
    16 bits           65,535 where a value is in the upper three quarters of the range, or all are 0
    32 bits           255 where no value is larger: these are 8-bit values, as `convert("RGB")` of
                      Pillow, and with it torchvision, takes them

In any other image, white may be 255, 1,023, 4,095 or 65,535. The image is refused, because a
guess would depend on how bright it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_serve.preprocessing.limits import ImageError

_MAX_SAMPLE_VALUE, _BITS_PER_SAMPLE, _PHOTOMETRIC = 281, 258, 262
_DARKEST_OF_16_BITS = 1 << 14
_ROWS = 64
_EIGHT_BITS = "Save it with 8 bits a channel: value · 255 / white."


def to_rgb(image: Image.Image, white: int | None = None) -> Image.Image:
    """8-bit RGB from any mode; alpha is dropped.

    `white` is the declared largest value of an image of more than 8 bits; without it, what the
    image's own file declares is taken. Raises `ImageError` for modes that have no conversion, such
    as floating-point pixels, and for integers of more than 8 bits whose range is not known.
    """
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):
        return _grey(image, white or declared_white(image)).convert("RGB")
    if image.mode == "F":
        raise ImageError("floating-point pixels have no defined range", remedy=_EIGHT_BITS)
    if image.mode in ("P", "LA", "PA"):
        image = image.convert("RGBA")
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise ImageError(f"{image.mode} pixels cannot be converted to RGB ({error})") from error


def declared_white(image: Image.Image) -> int | None:
    """The value of white that the file of an image declares, or None.

    TIFF's MaxSampleValue may also be the largest value of this one image, so that it is taken only
    where it is of the form 2ⁿ−1.
    """
    if image.format == "PPM":  # Pillow scales its `maxval`
        return 0xFFFF
    tags = getattr(image, "tag_v2", {})
    stated = _first(tags.get(_MAX_SAMPLE_VALUE))
    if isinstance(stated, int) and stated >= 0xFF and stated & (stated + 1) == 0:
        return stated
    bits = _first(tags.get(_BITS_PER_SAMPLE))
    return (1 << bits) - 1 if isinstance(bits, int) and 8 < bits < 16 else None


def from_array(array: NDArray[Any]) -> Image.Image:
    """The picture of an array: UINT8 [H,W,3] in RGB, [H,W,4] in RGBA, [H,W] or [H,W,1] in grey.

    Raises `ImageError` for others.
    """
    layered = array.ndim == 3 and array.shape[-1] in (1, 3, 4)
    if array.dtype != np.uint8 or not (layered or array.ndim == 2) or array.size == 0:
        raise ImageError(
            "an array must be UINT8 [H,W,3] in RGB, or [H,W,4] in RGBA; "
            f"this is {array.dtype} {list(array.shape)}"
        )
    return Image.fromarray(array[..., 0] if layered and array.shape[-1] == 1 else array)


def check_colours_of_16_bits(image: Image.Image) -> None:
    """Raise `ImageError` for colours of 16 bits whose range is not known.

    Pillow keeps the upper byte of such a file, which is next to nothing of 12-bit values.
    """
    bands = image.getextrema()[:3]
    brightest = max(int(band[1]) for band in bands if isinstance(band, tuple))
    if brightest < _DARKEST_OF_16_BITS >> 8:
        raise _unknown("16-bit", f"are below {(brightest + 1) << 8:,}")


def _grey(image: Image.Image, white: int | None) -> Image.Image:
    values = np.asarray(image)
    lowest, highest = int(values.min()), int(values.max())
    kind = "16-bit" if image.mode != "I" or image.format == "PNG" else "32-bit"
    if lowest < 0:
        raise ImageError(f"{kind} values below 0, down to {lowest:,}", remedy=_EIGHT_BITS)
    if white is None and kind == "32-bit" and highest <= 0xFF:
        white = 0xFF
    elif white is None and kind == "16-bit" and (highest >= _DARKEST_OF_16_BITS or highest == 0):
        white = 0xFFFF
    if white is None:
        raise _unknown(kind, f"end at {highest:,}")
    if highest > white:
        raise ImageError(f"a value of {highest:,} above its white of {white:,}", remedy=_EIGHT_BITS)
    # Pillow inverts 8-bit TIFFs whose 0 is white, but not these.
    inverted = _first(getattr(image, "tag_v2", {}).get(_PHOTOMETRIC)) == 0
    grey = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _ROWS):  # 64-bit numbers of a few rows at a time
        rows = values[start : start + _ROWS].astype(np.int64)
        grey[start : start + _ROWS] = (white - rows if inverted else rows) * 256 // (white + 1)
    return Image.fromarray(grey)


def _unknown(kind: str, seen: str) -> ImageError:
    return ImageError(
        f"its {kind} values {seen}, and the file does not say which value is white",
        remedy=f"{_EIGHT_BITS} Or declare it: MaxSampleValue in a TIFF, sBIT in a PNG.",
    )


def _first(value: object) -> object:
    return value[0] if isinstance(value, tuple) and value else value
