"""Ten crops of one image at one or more scales, over which a classifier's outputs are averaged.

    image ─ resize to each scale ─► four corners and centre ─► the same of the mirrored image

Ten-crop testing is from Krizhevsky et al. 2012, the average over scales from He et al. 2015,
section 3.4. The geometry is torchvision's `TenCrop`: top left, top right, bottom left, bottom
right, centre, then the same five of the mirrored image, for each scale.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.preprocessing import MAX_PIXELS, Preprocessing, crop_start

PER_SCALE = 10
FILE_NAME = "crops.json"


@dataclass(frozen=True)
class TenCrop:
    """The crops of `preprocessing`, from images whose shorter side is resized to each scale.

    `scales` are in pixels. Raises `UsageError` for scales that cannot be used.
    """

    preprocessing: Preprocessing
    scales: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.scales or len(set(self.scales)) < len(self.scales):
            raise UsageError("ten crops need one or more scales, each of them once")
        height, width = self.preprocessing.crop
        resize = self.preprocessing.resize
        if self.preprocessing.resize_mode not in ("shorter", "exact"):
            raise UsageError(
                "ten crops need images that are resized by their shorter side, or to one size, "
                f"not resize_mode {self.preprocessing.resize_mode!r}"
            )
        # After an exact resize all images have one shape, and grow with the scale.
        smallest, least = min(self.scales), max(height, width)
        if isinstance(resize, tuple):
            least = max(
                math.ceil(crop * min(resize) / side)
                for crop, side in zip((height, width), resize, strict=True)
            )
        if smallest < least:
            raise UsageError(
                f"the scale {smallest} is smaller than the crop of {height} × {width} pixels",
                remedy=f"Use scales of {least} and more.",
            )
        if max(self.scales) ** 2 > MAX_PIXELS:
            raise UsageError(f"the scale {max(self.scales)} has more than {MAX_PIXELS:,} pixels")
        if resize == (height, width) and self.scales == (least,):
            raise UsageError(
                f"at scale {least} the whole image is the crop, so that all ten are the same",
                remedy=f"Give --scales above {least}.",
            )

    def __len__(self) -> int:
        return PER_SCALE * len(self.scales)

    def pixels(self, image: Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """All crops of one image, UINT8 [10·scales,H,W,C]; raises `ImageError`."""
        return np.stack(
            [
                self.preprocessing.array(crop)
                for scale in self.scales
                for crop in _ten(self.preprocessing.resized(image, scale), self.preprocessing.crop)
            ]
        )

    def to_json(self) -> str:
        """The text of `crops.json`; the preprocessing is stored in a file of its own."""
        return json.dumps({"scales": list(self.scales)})

    @classmethod
    def from_json(cls, text: str, preprocessing: Preprocessing) -> TenCrop:
        """Read the text of `to_json`; raises `InputFileError`."""
        try:
            scales = json.loads(text)["scales"]
            whole = all(type(scale) is int for scale in scales)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise InputFileError(f"not a list of scales ({error})", where=FILE_NAME) from error
        if not whole:
            raise InputFileError("scales are whole numbers of pixels", where=FILE_NAME)
        return cls(preprocessing, tuple(scales))


def views(
    image: Image.Image, preprocessing: Preprocessing, scales: tuple[int, ...] | None
) -> NDArray[np.uint8]:
    """What a member of a composed model sees of an image, UINT8 [views,H,W,C].

    That is all crops at these `scales`; without them the one view of any other model.
    """
    if scales is None:
        return preprocessing.pixels(image)[None]
    return TenCrop(preprocessing, scales).pixels(image)


def _ten(picture: Image.Image, crop: tuple[int, int]) -> Iterator[Image.Image]:
    height, width = crop
    for each in (picture, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
        for left, top in _places(each, crop):
            yield each.crop((left, top, left + width, top + height))


def _places(picture: Image.Image, crop: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Left and top of the five crops."""
    right, bottom = picture.width - crop[1], picture.height - crop[0]
    # For the mirrored image too: with an odd side it is not the mirror of the first centre.
    centre = (crop_start(picture.width, crop[1]), crop_start(picture.height, crop[0]))
    return (0, 0), (right, 0), (0, bottom), (right, bottom), centre
