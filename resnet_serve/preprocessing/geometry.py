"""Geometry: resize, then crop or pad at the centre, as torchvision and timm do with Pillow images.

    shorter   torchvision's `Resize(n)`: the shorter side is n, the longer one ⌊n·long/short⌋
    longest   timm's `ResizeKeepRatio(longest=1)`: both sides are round(side·n/long)
    exact     `Resize((h, w))`: both sides as given
    none      no resize

`crop` is torchvision's `CenterCrop`: where the image is smaller, the rest is filled.

Resizing takes longer than decoding a JPEG, so what the crop leaves out is not computed where that
changes no pixel of the crop.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

from PIL import Image

from resnet_serve.preprocessing import unfiltered
from resnet_serve.preprocessing.limits import MAX_PIXELS, ImageError

RESAMPLING: Mapping[str, Image.Resampling] = MappingProxyType(
    {
        "nearest": Image.Resampling.NEAREST,
        "box": Image.Resampling.BOX,
        "bilinear": Image.Resampling.BILINEAR,
        "hamming": Image.Resampling.HAMMING,
        "bicubic": Image.Resampling.BICUBIC,
        "lanczos": Image.Resampling.LANCZOS,
    }
)
RESIZE_MODES = ("shorter", "longest", "exact", "none")
_FP32_INTEGERS = 1 << 24  # those below have no rounding error in FP32


def resize(
    picture: Image.Image,
    size: tuple[int, int],
    interpolation: str,
    *,
    antialias: bool = True,
    kept: tuple[int, int] | None = None,
) -> Image.Image:
    """The picture with `size` (width, height) pixels.

    Pillow's filters antialias; without `antialias` the filter is the bilinear one of `unfiltered`.
    `kept` (height, width) is the crop at the centre that follows: rows and columns beyond it may be
    missing on both sides. Raises `ImageError` for sizes that are too large.
    """
    if size == picture.size:
        return picture
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{picture.width} × {picture.height} pixels are too long and narrow: resized, "
            f"they would be {max(size):,} pixels long"
        )
    if not antialias:
        return unfiltered.resize(picture, size)
    if kept is None or interpolation == "nearest":
        return picture.resize(size, RESAMPLING[interpolation])
    left, right = _needed(picture.width, width, kept[1])
    top, bottom = _needed(picture.height, height, kept[0])
    part = right - left, bottom - top
    if _may_be_vertical_first(picture.size, part) or _may_be_vertical_first(picture.size, size):
        return picture.resize(size, RESAMPLING[interpolation])
    across, down = picture.width / width, picture.height / height
    box = left * across, top * down, right * across, bottom * down
    return picture.resize(part, RESAMPLING[interpolation], box=box)


def _needed(source: int, side: int, crop: int) -> tuple[int, int]:
    """Where the part of a resized side begins and ends that has to be computed for the crop.

    It is the crop where Pillow gives a part the same weights as the whole: it takes the place of
    the part in the source in FP32, so that the scale has to be a whole number of 2^-n, as that to a
    side of 256 is.
    """
    scale = Fraction(source, side)
    exact = scale.denominator.bit_count() == 1 and source * scale.denominator < _FP32_INTEGERS
    start = crop_start(side, crop)
    return (start, start + crop) if exact and start > 0 else (0, side)


def _may_be_vertical_first(source: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether some Pillow resizes columns before rows, between which it rounds.

    The rule of Pillow 13 is in `ImagingResampleInner` of its Resample.c. Those before it may do so
    where the height is more than 100 widths (`Image.resize`).
    """
    less = source[1] - size[1]
    return source[1] > 100 * source[0] or (less > 0 and less > 2 * (source[0] - size[0]))


def by_shorter(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size (width, height) that an image of `size` has with a shorter side of `side` pixels."""
    width, height = size
    longer = int(side * max(size) / min(size))
    return (side, longer) if width <= height else (longer, side)


def by_longest(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size (width, height) that an image of `size` has with a longest side of `side` pixels."""
    ratio = max(size) / side
    width, height = (max(1, round(each / ratio)) for each in size)
    return width, height


def crop(
    picture: Image.Image, size: tuple[int, int], fill: int | tuple[int, ...] = 0
) -> Image.Image:
    """The centre of `size` (height, width) pixels; what the picture lacks has the colour `fill`."""
    height, width = size
    left, top = crop_start(picture.width, width), crop_start(picture.height, height)
    if fill == 0 or (picture.width >= width and picture.height >= height):
        return picture.crop((left, top, left + width, top + height))
    bands = len(picture.getbands())
    colour = fill if bands == 1 or isinstance(fill, tuple) else (fill,) * bands
    canvas = Image.new(picture.mode, (width, height), colour)
    canvas.paste(picture, (-left, -top))
    return canvas


def crop_start(side: int, crop: int) -> int:
    """The first pixel of torchvision's centre crop; before 0, the crop is padded."""
    return -((crop - side) // 2) if crop > side else round((side - crop) / 2)
