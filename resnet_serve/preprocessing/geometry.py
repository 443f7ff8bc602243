"""Geometry: resize, then crop or pad at the centre, as torchvision and timm do with Pillow images.

    shorter   torchvision's `Resize(n)`: the shorter side is n, the longer one ⌊n·long/short⌋
    longest   timm's `ResizeKeepRatio(longest=1)`: both sides are round(side·n/long)
    exact     `Resize((h, w))`: both sides as given
    none      no resize

`crop` is torchvision's `CenterCrop`: where the image is smaller, the rest is filled.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def resize(
    picture: Image.Image, size: tuple[int, int], interpolation: str, *, antialias: bool = True
) -> Image.Image:
    """The picture with `size` (width, height) pixels.

    Pillow's filters antialias; without `antialias` the filter is the bilinear one of `unfiltered`.
    Raises `ImageError` for sizes that are too large.
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
    return picture.resize(size, RESAMPLING[interpolation])


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
