"""Recorded: images of a conversion with the reference's outputs, and a model here against them.

`<version>/reference_outputs.npz` proves an engine on a host without PyTorch and without the data
set: where it runs, it is compared with what PyTorch computed where the model was converted.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve import durable
from resnet_serve.activation import Activation
from resnet_serve.comparison import distances
from resnet_serve.comparison.distances import BATCH_SIZE, Distances, Outputs
from resnet_serve.errors import InputFileError
from resnet_serve.parity.accuracy import Decisions
from resnet_serve.parity.labels import LabelDecisions
from resnet_serve.parity.numerics import Numerics
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import LOGITS, RunnableModel

FILE_NAME = "reference_outputs.npz"


@dataclass(frozen=True)
class Recorded:
    """Images with the reference's outputs.

    `pixels` UINT8 [N,H,W,C], `expected` every output by name, FP32 [N,…], `labels` [N] or None, a
    name per image; of a sigmoid the labels may be [N,labels]. `name` is that of the set of images.
    """

    name: str
    pixels: NDArray[np.uint8]
    expected: Outputs
    labels: NDArray[np.int64] | None
    names: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """What comparing a model with the recorded outputs found; see `passport.proof.Measured`."""

    images: str
    images_sha256: str
    output_kind: str
    numerics: Mapping[int, Numerics]
    decisions: Decisions | None
    label_decisions: LabelDecisions | None
    runtime: str

    @property
    def summary(self) -> str:
        """How close both are, in a few words."""
        found = self.decisions or self.label_decisions
        if found is not None:
            return str(found)
        return f"cosine ≥ {min(each.cosine for each in self.numerics.values()):.5f}"


def to_input(
    input_kind: str, pixels: NDArray[np.uint8], preprocessing: Preprocessing
) -> NDArray[Any]:
    """UINT8 pixels [N,H,W,C] as a model takes them.

    "uint8": as they are; "float32": normalised planes FP32 [N,C,H,W].
    """
    return pixels if input_kind == "uint8" else preprocessing.normalize(pixels)


def digest(pixels: NDArray[np.uint8], expected: Outputs) -> str:
    """SHA-256 over the images and the reference's outputs."""
    return durable.sha256(pixels.tobytes() + b"".join(each.tobytes() for each in expected.values()))


def compare(
    model: RunnableModel,
    recorded: Recorded,
    *,
    input_kind: str,
    preprocessing: Preprocessing,
    activation: Activation | None,
    largest: int,
    of: str,
    runtime: str,
    label_names: Sequence[str] = (),
) -> Compared:
    """Run a model over the recorded images.

    `largest` is its largest batch. `of` says what the outputs are, in the gate's words, and
    `runtime` what runs it.
    """
    measured = Distances(model, largest)
    kept = []
    for at in range(0, len(recorded.pixels), BATCH_SIZE):
        part = slice(at, at + BATCH_SIZE)
        batch = to_input(input_kind, recorded.pixels[part], preprocessing)
        expected = {name: values[part] for name, values in recorded.expected.items()}
        kept.append(measured.add(batch, expected))
    decisions, label_decisions = None, None
    if LOGITS in recorded.expected:
        found = np.concatenate([outputs[LOGITS] for outputs in kept])
        decisions, label_decisions = distances.decide(
            activation, recorded.expected[LOGITS], found, recorded.labels, names=label_names
        )
    return Compared(
        images=recorded.name,
        images_sha256=digest(recorded.pixels, recorded.expected),
        output_kind=of,
        numerics=measured.result(),
        decisions=decisions,
        label_decisions=label_decisions,
        runtime=runtime,
    )


def read(path: Path, outputs: Mapping[str, Sequence[int]]) -> Recorded:
    """Read the file; raises `InputFileError` when it is not one.

    `outputs` are the name and the dimensions of each output, without the batch.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = Recorded(
                name=str(file["name"]),
                pixels=file["pixels"],
                expected={name: file[name] for name in outputs},
                labels=file.get("labels"),
                names=tuple(map(str, file["names"])),
            )
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
        raise InputFileError(
            f"does not hold the reference outputs of a conversion ({error})",
            where=path,
            remedy="Convert again: resnet-convert writes it beside the model.",
        ) from error
    pixels, count = found.pixels, len(found.names)
    whole = pixels.ndim == 4 and pixels.dtype == np.uint8 and len(pixels) == count > 0
    if not whole or not all(
        found.expected[name].shape == (count, *sides) for name, sides in outputs.items()
    ):
        raise InputFileError(
            "does not hold the arrays of a conversion's reference outputs", where=path
        )
    return found
