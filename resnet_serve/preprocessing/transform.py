"""Preprocessing: the value that is stored with weights, and the pixels it makes of an image.

The geometry is torchvision's, computed by Pillow, whose filters antialias. `pixels` has the
network's own order of channels, so that everything after it (graph, mean, std) is in that order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import geometry, rules
from resnet_serve.preprocessing.limits import DEFAULTS, Limits
from resnet_serve.preprocessing.modes import from_array, to_rgb

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of weights: geometry in pixels, mean and std in units of [0, 1].

    `resize` is the shorter side before the centre crop, or (height, width), or None for no resize;
    `resize_mode` "longest" makes it the longest side. `crop` is (height, width) of the network's
    input; where the image is smaller it is padded with `fill`, 0 to 255 in RGB. `antialias` False
    is bilinear interpolation of four neighbours. Mean and std are in the order of `channel_order`,
    "rgb" or "bgr"; one number each is for networks of grey images: UINT8 [H,W,1], by the luma of
    ITU-R 601, as Pillow's mode "L". `limits` are what one image file may cost. Raises
    `InputFileError` for values that cannot be used.
    """

    resize: rules.Resize = 256
    crop: tuple[int, int] = (224, 224)
    interpolation: str = "bilinear"
    resize_mode: str = ""
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    antialias: bool = True
    channel_order: str = "rgb"
    fill: int | tuple[int, ...] = 0
    limits: Limits = DEFAULTS

    def __post_init__(self) -> None:
        resize, mode = rules.check_resize(self.resize, self.resize_mode, self.crop)
        object.__setattr__(self, "resize", resize)
        object.__setattr__(self, "resize_mode", mode)
        if resize is None:  # nothing is interpolated
            object.__setattr__(self, "interpolation", "bilinear")
        rules.check_filter(self.interpolation, self.antialias, mode)
        rules.check_colours(self.mean, self.std, self.channel_order)
        rules.check_fill(self.fill, self.channels, resize, mode, self.crop)
        if isinstance(self.fill, tuple) and len(set(self.fill)) == 1:
            object.__setattr__(self, "fill", self.fill[0])

    @property
    def height(self) -> int:
        """Height of the network's input in pixels."""
        return self.crop[0]

    @property
    def width(self) -> int:
        """Width of the network's input in pixels."""
        return self.crop[1]

    @property
    def channels(self) -> int:
        """3 for RGB and BGR, 1 for grey."""
        return len(self.mean)

    @property
    def colours(self) -> str:
        """What the channels are: grey, RGB or BGR."""
        return "grey" if self.channels == 1 else self.channel_order.upper()

    @property
    def words(self) -> str:
        """Its resize and crop, in words."""
        crop = f"centre crop to {self.height} × {self.width}"
        if self.resize is None:
            return f"no resize, {crop}"
        if isinstance(self.resize, tuple):
            resized = f"resize both sides to {self.resize[0]} × {self.resize[1]}"
            crop = "" if self.resize == self.crop else f", {crop}"
            return f"{resized} ({self.interpolation}){crop}"
        side = "longer" if self.resize_mode == "longest" else "shorter"
        return f"resize the {side} side to {self.resize} ({self.interpolation}), {crop}"

    @property
    def stretches(self) -> bool:
        """Whether all images get the same size, and with it another shape: an exact resize."""
        return self.resize_mode == "exact"

    @property
    def shorter_side(self) -> int:
        """The shorter side in pixels after the resize; that of the crop where it varies."""
        if isinstance(self.resize, tuple):
            return min(self.resize)
        return self.resize if self.resize_mode == "shorter" and self.resize else min(self.crop)

    def pixels(self, image: Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize and centre-crop to UINT8 [H,W,channels], in the order `channel_order`.

        An array is UINT8 [H,W,3] in RGB, [H,W,4] in RGBA, [H,W] or [H,W,1] in grey. Raises
        `ImageError` for other arrays, and for images too long to be resized within the limits.
        """
        resized = self._resized(image, None, self.crop)
        return self.array(geometry.crop(resized, self.crop, self.fill))

    def resized(
        self, image: Image.Image | NDArray[np.uint8], shorter: int | None = None
    ) -> Image.Image:
        """Resize to RGB or grey, without the crop; arguments and errors as for `pixels`.

        `shorter` is another length of the shorter side, in pixels; after an exact resize too,
        whose shape is kept.
        """
        return self._resized(image, shorter, None)

    def _resized(
        self,
        image: Image.Image | NDArray[np.uint8],
        shorter: int | None,
        kept: tuple[int, int] | None,
    ) -> Image.Image:
        """See `resized`, and `geometry.resize` for `kept`."""
        picture = to_rgb(from_array(image) if isinstance(image, np.ndarray) else image)
        if self.channels == 1:
            picture = picture.convert("L")
        size = self._size(picture.size, shorter)
        return geometry.resize(
            picture, size, self.interpolation, antialias=self.antialias, kept=kept
        )

    def _size(self, size: tuple[int, int], shorter: int | None) -> tuple[int, int]:
        """Width and height after the resize of an image of this width and height."""
        if isinstance(self.resize, tuple):
            height, width = self.resize
            side = min(self.resize) if shorter is None else shorter
            return side * width // min(self.resize), side * height // min(self.resize)
        if shorter is not None:
            return geometry.by_shorter(size, shorter)
        if self.resize is None:
            return size
        by = geometry.by_longest if self.resize_mode == "longest" else geometry.by_shorter
        return by(size, self.resize)

    def array(self, picture: Image.Image) -> NDArray[np.uint8]:
        """UINT8 [H,W,C] in the order `channel_order`, of a picture with the size of the crop."""
        pixels = np.asarray(picture, dtype=np.uint8)
        pixels = pixels.reshape(self.height, self.width, self.channels)
        return np.ascontiguousarray(pixels[..., ::-1]) if self.channel_order == "bgr" else pixels

    def normalize(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """UINT8 […,H,W,C] to FP32 […,C,H,W]: (x/255 − mean)/std in FP32."""
        mean = np.asarray(self.mean, dtype=np.float32)
        std = np.asarray(self.std, dtype=np.float32)
        scaled = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(np.moveaxis(scaled, -1, -3))

    def to_json(self) -> str:
        """Its fields as JSON text, without those that have no effect."""
        fields = asdict(self)
        if self.resize is None:
            del fields["interpolation"], fields["antialias"]
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(
        cls, text: str | Mapping[str, Any], base: Preprocessing | None = None
    ) -> Preprocessing:
        """Read the text of `to_json`, or the fields of `document.PreprocessingDocument`.

        A missing field is that of `base`, or its default. Raises `InputFileError` for unknown
        fields and values that cannot be used.
        """
        try:
            data = json.loads(text) if isinstance(text, str) else text
        except (ValueError, TypeError, RecursionError) as error:
            raise InputFileError(f"not a preprocessing ({error})", where="preprocessing") from error
        from resnet_serve.preprocessing import document  # pydantic takes as long as numpy

        return cls(**document.resolved(data, asdict(base or cls())))
