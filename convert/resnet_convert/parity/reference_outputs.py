"""Reference outputs, recorded: validation images as pixels, the reference's logits, the labels.

In memory they serve searches that compare many graphs with one reference. In a file beside the
model, `<version>/reference_outputs.npz`, they prove an engine on a GPU host without PyTorch and
without the data set: `build-plan` runs the engine over these images, so that a plan passes the same
gate wherever it is built.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_convert.parity.compare import Logits
from resnet_convert.parity.reference import BATCH_SIZE, Outputs, Reference, to_input
from resnet_serve import durable
from resnet_serve.activation import SOFTMAX, Activation
from resnet_serve.datasets import Images, pixel_batches
from resnet_serve.datasets.selection import positions, spread
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import LOGITS

FILE_NAME = "reference_outputs.npz"
LARGEST_BYTES = 64 * 2**20  # 418 images of 224 px


@dataclass(frozen=True)
class ReferenceOutputs:
    """Images with the reference's logits: a set of images, and a source of its outputs.

    `pixels` UINT8 [N,H,W,C], `logits` FP32 [N,classes], `labels` [N] or None, a name per image; of
    a sigmoid the labels may be [N,labels]. `input_kind` and `preprocessing` say how a converted
    model takes the pixels, `activation` how its logits are read.
    """

    name: str
    pixels: NDArray[np.uint8]
    logits: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    names: tuple[str, ...]
    input_kind: str
    preprocessing: Preprocessing
    activation: Activation = SOFTMAX
    label_names: tuple[str, ...] = ()

    @classmethod
    def record(cls, reference: Reference, images: Images) -> ReferenceOutputs:
        """Run PyTorch over the images; for classifiers only."""
        pairs = list(reference.outputs(images))
        return cls(
            name=images.name,
            pixels=np.concatenate([pixels for pixels, _ in pairs]),
            logits=np.concatenate([outputs[LOGITS] for _, outputs in pairs]),
            labels=images.labels,
            names=tuple(map(images.name_of, range(len(images)))),
            input_kind=reference.input_kind,
            preprocessing=reference.preprocessing,
            activation=reference.activation or SOFTMAX,
            label_names=tuple(reference.label_names),
        )

    @property
    def classifies(self) -> bool:
        """Always: what is recorded are logits."""
        return True

    @property
    def output_kind(self) -> str:
        """Logits."""
        return LOGITS

    def __len__(self) -> int:
        return len(self.pixels)

    def name_of(self, index: int) -> str:
        """What an image is called."""
        return self.names[index]

    def digest(self) -> str:
        """SHA-256 over the images and the reference's logits."""
        return durable.sha256(self.pixels.tobytes() + self.logits.tobytes())

    def outputs(self, images: ReferenceOutputs) -> Iterator[tuple[NDArray[np.uint8], Outputs]]:
        """Batches of pixels, and PyTorch's logits for them; `images` is the recording itself."""
        for at in range(0, len(images), BATCH_SIZE):
            part = slice(at, at + BATCH_SIZE)
            yield images.pixels[part], {LOGITS: images.logits[part]}

    def to_input(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """The pixels as the converted model takes them."""
        return to_input(self.input_kind, pixels, self.preprocessing)

    def to_bytes(self) -> bytes:
        """The file; what a client has to keep to is in the passport beside it."""
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


def collect(
    images: Images, preprocessing: Preprocessing, input_kind: str, found: Logits
) -> ReferenceOutputs:
    """The compared images, or as many of them, evenly chosen, as the file may hold."""
    height, width = preprocessing.crop
    limit = max(1, LARGEST_BYTES // (3 * height * width))
    chosen = spread(images, limit)
    rows = list(positions(len(images), limit))
    return ReferenceOutputs(
        name=chosen.name,
        pixels=np.concatenate(list(pixel_batches(chosen, preprocessing, BATCH_SIZE))),
        logits=found.reference[rows],
        labels=None if found.labels is None else found.labels[rows],
        names=tuple(chosen.name_of(index) for index in range(len(chosen))),
        input_kind=input_kind,
        preprocessing=preprocessing,
    )


def read(
    path: Path,
    input_kind: str,
    preprocessing: Preprocessing,
    activation: Activation | None = None,
) -> ReferenceOutputs:
    """Read the file; raises `InputFileError` when it is not one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = ReferenceOutputs(
                name=str(file["name"]),
                pixels=file["pixels"],
                logits=file["logits"],
                labels=file.get("labels"),
                names=tuple(map(str, file["names"])),
                input_kind=input_kind,
                preprocessing=preprocessing,
                activation=activation or SOFTMAX,
            )
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
        raise InputFileError(
            f"does not hold the reference outputs of a conversion ({error})",
            where=path,
            remedy="Convert again: resnet-convert writes it beside the model.",
        ) from error
    pixels, logits = found.pixels, found.logits
    whole = pixels.ndim == 4 and pixels.dtype == np.uint8 and logits.ndim == 2
    if not whole or not len(pixels) == len(logits) == len(found.names) > 0:
        raise InputFileError(
            "does not hold the arrays of a conversion's reference outputs", where=path
        )
    return found
