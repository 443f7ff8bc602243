"""Example images for a version: a few of the validation set, encoded, with PyTorch's outputs.

`resnet-serve` sends them to the server that is to serve the version, before it does, and
`resnet-serve verify` compares with them where PyTorch is absent. Files are kept as they are; what
is no file is kept as PNG, and a large image as a smaller JPEG, because each version keeps a copy.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_convert.parity.reference import Reference
from resnet_serve import durable
from resnet_serve.datasets import Images
from resnet_serve.datasets.selection import spread
from resnet_serve.preprocessing import decode
from resnet_serve.triton.repository.examples import Examples

COUNT = 8
LARGEST_BYTES = 512 * 2**10  # of one image
_SIDE = 640


@dataclass(frozen=True)
class Encoded:
    """Images in files in memory; the five verbs of a set of images."""

    name: str
    names: tuple[str, ...]
    files: tuple[bytes, ...]
    labels: NDArray[np.int64] | None = None

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


def record(reference: Reference, images: Images, count: int = COUNT) -> Examples:
    """A few of the images, evenly chosen, through the reference's preprocessing and PyTorch."""
    chosen = spread(images, count)
    encoded = Encoded(
        name=chosen.name,
        names=tuple(Path(chosen.name_of(index)).name for index in range(len(chosen))),
        files=tuple(_encoded(chosen, index) for index in range(len(chosen))),
        labels=chosen.labels,
    )
    batches = [outputs for _, outputs in reference.outputs(encoded)]
    return Examples(
        source=encoded.name,
        names=encoded.names,
        images=encoded.files,
        expected={name: np.concatenate([each[name] for each in batches]) for name in batches[0]},
        labels=encoded.labels,
    )


def _encoded(images: Images, index: int) -> bytes:
    path = Path(images.name_of(index))
    if path.is_file() and path.stat().st_size <= LARGEST_BYTES:
        return path.read_bytes()
    image = images.image(index)
    data = _saved(image, "PNG")
    if len(data) <= LARGEST_BYTES:
        return data
    image = image.convert("RGB")
    image.thumbnail((_SIDE, _SIDE))
    return _saved(image, "JPEG", quality=95)


def _saved(image: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
