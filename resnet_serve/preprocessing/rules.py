"""Rules: which values a preprocessing may have, so that every field has an effect or is refused.

resize   n           with "shorter" (the default) or "longest"
         (h, w)      with "exact"
         None        with "none"
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing.geometry import RESAMPLING, RESIZE_MODES
from resnet_serve.preprocessing.limits import CHANNELS, MAX_PIXELS

Resize: TypeAlias = int | tuple[int, int] | None
CHANNEL_ORDERS = ("rgb", "bgr")
# Mean and std are in units of white. No image is four times as bright, so that larger numbers are
# on another scale, as ImageNet's 123.675 of 255.
BRIGHTEST = 4
_WHITE = 255


def check_resize(resize: Resize, mode: str, crop: tuple[int, int]) -> tuple[Resize, str]:
    """The resize and its mode, with the default of a mode that is "".

    A whole number with "exact" is the shorter side of the crop, as in files of resnet-serve 0.1.
    Raises `InputFileError` for sizes that cannot be used and for a resize that is not of its mode.
    """
    if not (isinstance(crop, tuple) and len(crop) == 2 and all(map(_is_side, crop))):
        raise refused("crop must be whole numbers of pixels above 0: height and width")
    if crop[0] * crop[1] > MAX_PIXELS:
        raise refused(f"sizes of more than {MAX_PIXELS:,} pixels are not allowed")
    both = isinstance(resize, tuple)
    if mode == "":
        mode = "none" if resize is None else "exact" if both else "shorter"
    if mode not in RESIZE_MODES:
        raise refused(f"unknown resize_mode {mode!r}", RESIZE_MODES)
    sides = resize if isinstance(resize, tuple) else (resize,)
    if resize is not None and not (len(sides) in (1, 2) and all(map(_is_side, sides))):
        raise refused("resize must be whole numbers of pixels above 0, or null")
    if resize is not None:
        largest = resize[0] * resize[1] if isinstance(resize, tuple) else resize**2
        if largest > MAX_PIXELS:
            raise refused(f"sizes of more than {MAX_PIXELS:,} pixels are not allowed")
    if mode == "exact" and resize == min(crop):
        resize = crop
    of_mode = {"exact": isinstance(resize, tuple), "none": resize is None}
    if not of_mode.get(mode, isinstance(resize, int)):
        raise _contradicted(resize, mode)
    return resize, mode


def check_colours(mean: Sequence[float], std: Sequence[float], channel_order: str) -> None:
    """Raise `InputFileError` for a mean, std or order of channels that cannot be used."""
    numbers = (*mean, *std)
    if not all(isinstance(value, int | float) and type(value) is not bool for value in numbers):
        raise refused("mean and std must be numbers")
    if len(mean) != len(std) or len(mean) not in CHANNELS:
        raise InputFileError(
            f"mean and std need 3 numbers each, or 1 each for grey images, not {len(mean)} and "
            f"{len(std)}",
            where="preprocessing",
            remedy="An image file has 3 channels or 1; a network that takes others needs a "
            "--module that makes them from these."
            if len(mean) == len(std) > 3
            else None,
        )
    if not all(map(math.isfinite, numbers)) or min(std) <= 0:
        raise refused("mean and std must be finite, and std above 0")
    if max(map(abs, numbers)) > BRIGHTEST:
        raise _another_scale(mean, std)
    if channel_order not in CHANNEL_ORDERS:
        raise refused(f"unknown channel_order {channel_order!r}", CHANNEL_ORDERS)
    if channel_order == "bgr" and len(mean) != 3:
        raise refused("channel_order 'bgr' has no effect on grey images: leave it out")


def check_filter(interpolation: str, antialias: bool, mode: str) -> None:
    """Raise `InputFileError` for a filter that there is not, or that would have no effect."""
    if interpolation not in RESAMPLING:
        raise refused(f"unknown interpolation {interpolation!r}", RESAMPLING)
    if type(antialias) is not bool:
        raise refused("antialias must be true or false")
    if antialias:
        return
    if interpolation != "bilinear":
        raise refused(f"antialias false is for 'bilinear' only, not for {interpolation!r}")
    if mode == "none":
        raise refused("antialias false has no effect without a resize: leave it out")


def check_fill(
    fill: int | tuple[int, ...], channels: int, resize: Resize, mode: str, crop: tuple[int, int]
) -> None:
    """Raise `InputFileError` for a fill that is no colour, or that would have no effect."""
    values = fill if isinstance(fill, tuple) else (fill,)
    if not all(type(value) is int and 0 <= value <= _WHITE for value in values):
        raise refused("fill must be whole numbers from 0 to 255")
    if isinstance(fill, tuple) and len(fill) != channels:
        raise refused(f"fill has {len(fill)} numbers for images of {channels} channels")
    if fill != 0 and not _may_pad(resize, mode, crop):
        raise refused("fill has no effect: the resized image always covers the crop; leave it out")


def refused(what: str, choices: Iterable[str] = ()) -> InputFileError:
    """The error of a value that cannot be used, with the values that can."""
    remedy = f"Use one of {', '.join(choices)}." if choices else None
    return InputFileError(what, where="preprocessing", remedy=remedy)


def _may_pad(resize: Resize, mode: str, crop: tuple[int, int]) -> bool:
    if isinstance(resize, tuple):
        return resize[0] < crop[0] or resize[1] < crop[1]
    return mode != "shorter" or resize is None or resize < max(crop)


def _is_side(side: object) -> bool:
    return type(side) is int and side > 0


def _contradicted(resize: Resize, mode: str) -> InputFileError:
    given = "null" if resize is None else str(list(resize) if isinstance(resize, tuple) else resize)
    choices = {
        "exact": "give resize [height, width] for an exact resize, or leave resize_mode out for "
        "the shorter side",
        "none": "give resize null, or leave resize_mode out",
    }
    remedy = choices.get(mode, "give resize one number, or leave resize_mode out")
    return InputFileError(
        f"resize {given} contradicts resize_mode {mode!r}",
        where="preprocessing",
        remedy=f"{remedy[0].upper()}{remedy[1:]}.",
    )


def _another_scale(mean: Sequence[float], std: Sequence[float]) -> InputFileError:
    divided = [[float(f"{value / _WHITE:.6g}") for value in values] for values in (mean, std)]
    return InputFileError(
        f"mean and std are not in units of [0, 1]: the largest is {max(map(abs, (*mean, *std))):g}",
        where="preprocessing",
        remedy='If pixels stay on the scale of 0 to 255, add "rescale": 1 beside them, which is '
        f"the same as mean {divided[0]} and std {divided[1]}.",
    )
