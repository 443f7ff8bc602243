"""Preprocessing: from an image file to the pixels that a network was trained on.

Preprocessing belongs to the *weights*, not to the architecture: it is stored in the checkpoint,
folded into the graph, written into the repository and read by the clients, so that training,
conversion and serving get the same pixels.

    bytes ─ decode ─► RGB image ─ resize, crop ─► UINT8 [H,W,3] ─ (x/255 − mean)/std ─► FP32 [3,H,W]

The geometry is torchvision's (`Resize(int)` on the shorter side, `CenterCrop`) computed by Pillow,
whose filters antialias; `resize_mode="exact"` resizes both sides to the crop instead.
"""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from resnet_serve.errors import InputFileError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
# The number of channels an image may have: RGB, or grey.
CHANNELS = (3, 1)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Pillow itself refuses 178 million pixels as a decompression bomb; a classifier needs far fewer.
MAX_PIXELS = 64_000_000
# Listed here, because Pillow's own list includes decoders that start other programs (EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


_READABLE = f"Give one of {', '.join(FORMATS)}."


class ImageError(InputFileError):
    """This image cannot be decoded, or is too large to be decoded safely."""


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of weights: geometry in pixels, mean and std in units of [0, 1].

    `resize` is the shorter side before the centre crop, `crop` is (height, width). Mean and std of
    one number each are for networks of grey images: UINT8 [H,W,1], by the luma of ITU-R 601, as
    Pillow's mode "L". Raises `InputFileError` for values that cannot be used.
    """

    resize: int = 256
    crop: tuple[int, int] = (224, 224)
    interpolation: str = "bilinear"
    resize_mode: str = "shorter"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.interpolation not in _RESAMPLING:
            raise _refused(f"unknown interpolation {self.interpolation!r}", _RESAMPLING)
        if self.resize_mode not in ("shorter", "exact"):
            raise _refused(f"unknown resize_mode {self.resize_mode!r}", ("shorter", "exact"))
        sides = (self.resize, *self.crop)
        if not all(type(side) is int and side > 0 for side in sides):
            raise _refused("resize and crop must be whole numbers of pixels above 0")
        if max(self.resize**2, self.height * self.width) > MAX_PIXELS:
            raise _refused(f"sizes of more than {MAX_PIXELS:,} pixels are not allowed")
        if not all(isinstance(value, (int, float)) for value in (*self.mean, *self.std)):
            raise _refused("mean and std must be numbers")
        if not len(self.mean) == len(self.std) or len(self.mean) not in CHANNELS:
            raise _refused("mean and std need 3 numbers each, or 1 each for grey images")
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise _refused("mean and std must be finite, and std above 0")

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
        """3 for RGB, 1 for grey."""
        return len(self.mean)

    def pixels(self, image: Image.Image | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize and centre-crop to UINT8 [H,W,channels].

        An array is an RGB image, UINT8 [H,W,3], or a grey one, [H,W]. Raises `ImageError` for
        other arrays, and for images so long that they would be too large when resized.
        """
        picture = self.resized(image)
        left = crop_start(picture.width, self.width)
        top = crop_start(picture.height, self.height)
        return self.array(picture.crop((left, top, left + self.width, top + self.height)))

    def resized(
        self, image: Image.Image | NDArray[np.uint8], shorter: int | None = None
    ) -> Image.Image:
        """Resize to RGB or grey, without the crop; arguments and errors as for `pixels`.

        `shorter` is another length of the shorter side, in pixels. With `resize_mode="exact"` the
        result has the shape of the crop, not of the image.
        """
        picture = to_rgb(from_array(image) if isinstance(image, np.ndarray) else image)
        if self.channels == 1:
            picture = picture.convert("L")
        resampling = _RESAMPLING[self.interpolation]
        if self.resize_mode == "exact":
            side = min(self.crop) if shorter is None else shorter
            exact = (side * self.width // min(self.crop), side * self.height // min(self.crop))
            return picture.resize(exact, resampling)
        side = self.resize if shorter is None else shorter
        short, long = sorted(picture.size)
        longer = int(side * long / short)
        if side * longer > MAX_PIXELS:
            raise ImageError(
                f"{picture.width} × {picture.height} pixels are too long and narrow: resized, "
                f"they would be {longer:,} pixels long"
            )
        size = (side, longer) if picture.width <= picture.height else (longer, side)
        return picture if size == picture.size else picture.resize(size, resampling)

    def array(self, picture: Image.Image) -> NDArray[np.uint8]:
        """UINT8 [H,W,C] of a picture that already has the size of the crop."""
        return np.asarray(picture, dtype=np.uint8).reshape(self.height, self.width, self.channels)

    def normalize(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """UINT8 […,H,W,C] to FP32 […,C,H,W]: (x/255 − mean)/std in FP32."""
        mean = np.asarray(self.mean, dtype=np.float32)
        std = np.asarray(self.std, dtype=np.float32)
        scaled = (pixels.astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(np.moveaxis(scaled, -1, -3))

    def to_json(self) -> str:
        """Its fields as JSON text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | Mapping[str, Any]) -> Preprocessing:
        """Read the text of `to_json`, or its fields; a missing field has its default.

        Raises `InputFileError` for unknown fields and values that cannot be used.
        """
        try:
            data = json.loads(text) if isinstance(text, str) else dict(text)
            unknown = sorted(set(data) - {field.name for field in fields(cls)})
            if unknown:
                raise ValueError(f"unknown field {unknown[0]!r}")
            for name, lengths in (("crop", (2,)), ("mean", CHANNELS), ("std", CHANNELS)):
                if name in data:
                    data[name] = tuple(data[name])
                    if len(data[name]) not in lengths:
                        raise ValueError(f"{name} needs {lengths[0]} numbers")
            return cls(**data)
        except (ValueError, TypeError, RecursionError) as error:
            raise InputFileError(f"not a preprocessing ({error})", where="preprocessing") from error


def decode(source: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a file in one of `FORMATS` to an upright RGB image; of an animation, the first frame.

    The size in the header is checked before any pixel is decoded. CMYK, palette, grayscale, 16-bit
    and alpha images are converted to 8-bit RGB (alpha is dropped); the EXIF orientation is applied.
    Raises `ImageError`, and no other error, for bytes that cannot be decoded.
    """
    name = "image" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read ({error.strerror})", where=name) from error
    if not data:
        raise ImageError("the image is empty (0 bytes)", where=name)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # errors are raised, not warned of
            return _decoded(data, max_pixels)
    except Image.DecompressionBombError as error:
        raise ImageError(f"too large to decode ({error})", where=name) from error
    except UnidentifiedImageError as error:
        raise ImageError("not an image", where=name, remedy=_READABLE) from error
    except ImageError as error:
        raise ImageError(error.what, where=name, remedy=error.remedy) from error
    except Exception as error:  # a decoder may raise anything for hostile bytes
        raise ImageError(f"damaged image ({error})", where=name) from error


def _decoded(data: bytes, max_pixels: int) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    check_size(image, max_pixels)
    image.load()
    upright = _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    picture = to_rgb(image)
    return picture if upright is None else picture.transpose(upright)


def check_size(image: Image.Image, max_pixels: int = MAX_PIXELS) -> None:
    """Raise `ImageError` for an image of more pixels than are allowed."""
    if image.width * image.height > max_pixels:
        raise ImageError(
            f"{image.width} × {image.height} pixels are more than the {max_pixels:,} allowed",
            remedy="Scale it down first.",
        )


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB from any mode; 16-bit greys keep their upper byte instead of being clipped.

    Raises `ImageError` for modes that have no conversion, such as floating-point pixels.
    """
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image).astype(np.int64)
        return Image.fromarray((grey >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageError("floating-point pixels have no defined range", remedy="Save as 8 bits.")
    if image.mode in ("P", "LA", "PA"):
        image = image.convert("RGBA")
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise ImageError(f"{image.mode} pixels cannot be converted to RGB ({error})") from error


def from_array(array: NDArray[Any]) -> Image.Image:
    """The picture of an array, UINT8 [H,W,3] in RGB or [H,W]; raises `ImageError` for others."""
    colour = array.ndim == 3 and array.shape[-1] == 3
    if array.dtype != np.uint8 or not (colour or array.ndim == 2) or array.size == 0:
        raise ImageError(
            f"an array must be UINT8 [H,W,3] in RGB; this is {array.dtype} {list(array.shape)}"
        )
    return Image.fromarray(array)


def crop_start(side: int, crop: int) -> int:
    """The first pixel of torchvision's centre crop; before 0, the crop is padded with black."""
    return -((crop - side) // 2) if crop > side else round((side - crop) / 2)


def _refused(what: str, choices: Iterable[str] = ()) -> InputFileError:
    remedy = f"Use one of {', '.join(choices)}." if choices else None
    return InputFileError(what, where="preprocessing", remedy=remedy)
