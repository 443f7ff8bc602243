"""Reference outputs: what proves an engine on a GPU host without PyTorch and without the data set.

The validation images as pixels, the reference's logits for them and their labels, in one file
beside the model: `<version>/reference_outputs.npz`. `build-plan` runs the engine over these images,
so that a plan passes the same gate wherever it is built.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_convert.parity.measure import BATCH_SIZE, Measurements, Pair
from resnet_serve import durable
from resnet_serve.datasets import Images, pixel_batches
from resnet_serve.datasets.selection import positions, spread
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing

FILE_NAME = "reference_outputs.npz"
LARGEST_BYTES = 64 * 2**20  # 418 images of 224 px


@dataclass(frozen=True)
class ReferenceOutputs:
    """`pixels` UINT8 [N,H,W,3], `logits` FP32 [N,classes], `labels` [N] or None, a name each."""

    name: str
    pixels: NDArray[np.uint8]
    logits: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pixels)

    def name_of(self, index: int) -> str:
        return self.names[index]

    def digest(self) -> str:
        """SHA-256 over the images and what the reference answered."""
        return durable.sha256(self.pixels.tobytes() + self.logits.tobytes())

    def pairs(self) -> Iterator[Pair]:
        """Batches of pixels, and PyTorch's logits for them."""
        for at in range(0, len(self), BATCH_SIZE):
            yield self.pixels[at : at + BATCH_SIZE], self.logits[at : at + BATCH_SIZE]

    def to_bytes(self) -> bytes:
        arrays = {
            "name": np.asarray(self.name),
            "pixels": self.pixels,
            "logits": self.logits,
            "names": np.asarray(self.names),
        }
        if self.labels is not None:
            arrays["labels"] = self.labels
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        return file.getvalue()


def collect(images: Images, preprocessing: Preprocessing, found: Measurements) -> ReferenceOutputs:
    """The images that were measured, or as many of them, evenly chosen, as the file may hold."""
    height, width = preprocessing.crop
    limit = max(1, LARGEST_BYTES // (3 * height * width))
    chosen = spread(images, limit)
    rows = list(positions(len(images), limit))
    return ReferenceOutputs(
        name=chosen.name,
        pixels=np.concatenate(list(pixel_batches(chosen, preprocessing, BATCH_SIZE))),
        logits=found.reference_logits[rows],
        labels=None if found.labels is None else found.labels[rows],
        names=tuple(chosen.name_of(index) for index in range(len(chosen))),
    )


def read(path: Path) -> ReferenceOutputs:
    """Read the file; raises `InputFileError` when it is not one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            reference_outputs = ReferenceOutputs(
                name=str(file["name"]),
                pixels=file["pixels"],
                logits=file["logits"],
                labels=file.get("labels"),
                names=tuple(map(str, file["names"])),
            )
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
        raise InputFileError(
            f"does not hold the reference outputs of a conversion ({error})",
            where=path,
            remedy="Convert again: resnet-convert writes it beside the model.",
        ) from error
    pixels, logits = reference_outputs.pixels, reference_outputs.logits
    whole = pixels.ndim == 4 and pixels.dtype == np.uint8 and logits.ndim == 2
    if not whole or not len(pixels) == len(logits) == len(reference_outputs.names) > 0:
        raise InputFileError(
            "does not hold the arrays of a conversion's reference outputs", where=path
        )
    return reference_outputs
