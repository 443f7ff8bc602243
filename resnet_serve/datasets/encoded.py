"""Images as files in memory: what a client sends, from any set of images.

Small files are taken as they are; what is no file becomes a PNG, and a large image a smaller JPEG.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_serve import durable
from resnet_serve.datasets.images import Images
from resnet_serve.preprocessing import decode

_SIDE = 640


@dataclass(frozen=True)
class Encoded:
    """Images in files in memory; the five verbs of a set of images."""

    name: str
    names: tuple[str, ...]
    files: tuple[bytes, ...]
    labels: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, images: Images, largest_bytes: int) -> Encoded:
        """Files of a set of images, each of `largest_bytes` or about that."""
        return cls(
            name=images.name,
            names=tuple(images.name_of(index) for index in range(len(images))),
            files=tuple(_encoded(images, index, largest_bytes) for index in range(len(images))),
            labels=images.labels,
        )

    def __len__(self) -> int:
        return len(self.files)

    def name_of(self, index: int) -> str:
        """What an image is called."""
        return self.names[index]

    def image(self, index: int) -> Image.Image:
        """An image, decoded."""
        return decode(self.files[index])

    def digest(self) -> str:
        """SHA-256 over the files."""
        return durable.sha256(b"".join(self.files))


def _encoded(images: Images, index: int, largest_bytes: int) -> bytes:
    path = Path(images.name_of(index))
    if path.is_file() and path.stat().st_size <= largest_bytes:
        return path.read_bytes()
    image = images.image(index)
    data = _saved(image, "PNG")
    if len(data) <= largest_bytes:
        return data
    image = image.convert("RGB")
    image.thumbnail((_SIDE, _SIDE))
    return _saved(image, "JPEG", quality=95)


def _saved(image: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
