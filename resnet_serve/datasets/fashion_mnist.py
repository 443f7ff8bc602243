"""Fashion-MNIST: 70,000 grey photographs of clothes, 28 × 28, in ten classes (arXiv:1708.07747).

Read from the four IDX files of the data set, where Debian's package `dataset-fashion-mnist` puts
them or in another folder. A sample of it is part of this package (MIT, see its LICENSE), for hosts
without the data set.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_serve import durable
from resnet_serve.errors import HostError, InputFileError

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
SAMPLE_FOLDER = Path(__file__).parent / "fashion-mnist-sample"
SIDE = 28
_UINT8 = 0x08  # the type of the values in an IDX file
_HOW_TO_GET_IT = (
    "Install Debian's package dataset-fashion-mnist (apt-get install dataset-fashion-mnist), or "
    "give fashion-mnist:FOLDER with its four files; fashion-mnist-sample needs neither."
)


class FashionMnist:
    """One part of Fashion-MNIST: 60,000 images for training, or 10,000 held out.

    `folder` has the files `{train,t10k}-{images-idx3,labels-idx1}-ubyte`, with or without `.gz`.
    Raises `HostError` where they are missing, `InputFileError` where they cannot be read.
    """

    LABELS = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )

    def __init__(self, *, held_out: bool, folder: Path = DEBIAN_FOLDER) -> None:
        self.held_out = held_out
        sample = "sample, " if folder == SAMPLE_FOLDER else ""
        self.name = f"Fashion-MNIST ({sample}{'held out' if held_out else 'training part'})"
        part = "t10k" if held_out else "train"
        self._images_file = _found(folder, f"{part}-images-idx3-ubyte")
        self._labels_file = _found(folder, f"{part}-labels-idx1-ubyte")

    @cached_property
    def greys(self) -> NDArray[np.uint8]:
        """The images, UINT8 [N,28,28]."""
        images = read_idx(self._images_file)
        if images.shape[1:] != (SIDE, SIDE):
            raise InputFileError(
                f"has the shape {list(images.shape)}, not that of {SIDE} × {SIDE} images",
                where=self._images_file,
            )
        return images

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The class indices [N]."""
        labels = read_idx(self._labels_file).astype(np.int64)
        if labels.shape != (len(self.greys),):
            raise InputFileError(
                f"has the shape {list(labels.shape)} for {len(self.greys)} images",
                where=self._labels_file,
            )
        if labels.max(initial=0) >= len(self.LABELS):
            raise InputFileError(f"names class {labels.max()} of 10", where=self._labels_file)
        return labels

    def __len__(self) -> int:
        return len(self.greys)

    def name_of(self, index: int) -> str:
        """The name of image `index` in reports."""
        return f"{self.name}, image {index}"

    def image(self, index: int) -> Image.Image:
        """Image `index` in RGB."""
        return Image.fromarray(self.greys[index]).convert("RGB")

    def digest(self) -> str:
        """SHA-256 of the images."""
        return hashlib.sha256(self.greys.tobytes()).hexdigest()

    def export(self, folder: Path, count: int) -> list[Path]:
        """Write the first `count` images as grey PNG files `<label>/<number>.png`.

        A `/` in a label is written as `-`. Returns the paths; raises `HostError` for a folder
        that cannot be written.
        """
        paths = []
        for index in range(min(count, len(self))):
            label = self.LABELS[self.labels[index]].replace("/", "-")
            path = folder / label / f"{index:05d}.png"
            encoded = io.BytesIO()
            Image.fromarray(self.greys[index]).save(encoded, "PNG")
            with durable.explained(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encoded.getvalue())
            paths.append(path)
        return paths


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of an IDX file of bytes, gzipped where its name ends in `.gz`.

    The format is that of MNIST: two zero bytes, the type, the number of axes, their lengths as
    big-endian INT32, the values. Raises `InputFileError` for another file.
    """
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise InputFileError(f"cannot be read ({error})", where=path) from error
    axes = data[3] if len(data) >= 4 else 0
    start = 4 + 4 * axes
    if data[:3] != bytes((0, 0, _UINT8)) or axes == 0 or len(data) < start:
        raise InputFileError("is not an IDX file of bytes", where=path)
    shape = tuple(int(side) for side in np.frombuffer(data, ">u4", axes, 4))
    values = np.frombuffer(data, np.uint8, offset=start)
    if values.size != int(np.prod(shape, dtype=np.int64)):
        raise InputFileError(
            f"has {values.size} values for the shape {list(shape)}",
            where=path,
            remedy="It is incomplete: fetch it again.",
        )
    return values.reshape(shape)


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write an IDX file of bytes, gzipped without a time stamp."""
    header = bytes((0, 0, _UINT8, array.ndim)) + np.asarray(array.shape, ">u4").tobytes()
    durable.write(path, gzip.compress(header + array.tobytes(), mtime=0))


def _found(folder: Path, name: str) -> Path:
    for candidate in (folder / f"{name}.gz", folder / name):
        if candidate.is_file():
            return candidate
    raise HostError(
        "Fashion-MNIST is not on this host", where=folder / f"{name}.gz", remedy=_HOW_TO_GET_IT
    )
