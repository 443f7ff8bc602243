"""Reference outputs, recorded: validation images as pixels, the reference's outputs, the labels.

In memory they serve searches that compare many graphs with one reference. In a file beside the
model, `<version>/reference_outputs.npz`, they prove an engine on a GPU host without PyTorch and
without the data set: `build-plan` runs the engine over these images, so that a plan passes the same
gate wherever it is built.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_convert.head import CLASSIFIER, HEADS
from resnet_convert.parity.compare import Logits
from resnet_convert.parity.reference import Reference
from resnet_serve.activation import SOFTMAX, Activation
from resnet_serve.comparison import recorded
from resnet_serve.comparison.distances import BATCH_SIZE, Outputs
from resnet_serve.comparison.recorded import Recorded
from resnet_serve.datasets import Images, pixel_batches
from resnet_serve.datasets.selection import positions, spread
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import LOGITS

LARGEST_BYTES = 64 * 2**20  # 418 images of 224 px, or 10 with the maps of a pyramid


@dataclass(frozen=True)
class ReferenceOutputs(Recorded):
    """Recorded images as a set of images, and as a source of the outputs of `head`.

    `input_kind` and `preprocessing` say how a converted model takes the pixels, `activation` how
    its logits are read, if it has any.
    """

    input_kind: str
    preprocessing: Preprocessing
    activation: Activation = SOFTMAX
    label_names: Sequence[str] = ()
    head: str = CLASSIFIER

    @classmethod
    def record(cls, reference: Reference, images: Images) -> ReferenceOutputs:
        """Run PyTorch over the images."""
        pairs = list(reference.outputs(images))
        expected = {
            name: np.concatenate([outputs[name] for _, outputs in pairs]) for name in pairs[0][1]
        }
        pixels = np.concatenate([pixels for pixels, _ in pairs])
        return cls._of(reference, images, pixels, expected, images.labels)

    @classmethod
    def _of(
        cls,
        reference: Reference,
        images: Images,
        pixels: NDArray[np.uint8],
        expected: Outputs,
        labels: NDArray[np.int64] | None,
    ) -> ReferenceOutputs:
        return cls(
            name=images.name,
            pixels=pixels,
            expected=expected,
            labels=labels,
            names=tuple(map(images.name_of, range(len(images)))),
            input_kind=reference.input_kind,
            preprocessing=reference.preprocessing,
            activation=reference.activation or SOFTMAX,
            label_names=tuple(reference.label_names),
            head=reference.head,
        )

    @classmethod
    def collect(
        cls, reference: Reference, images: Images, found: Logits | None
    ) -> ReferenceOutputs:
        """The compared images, or as many of them, evenly chosen, as the file may hold.

        `found` has the logits of all of them; the outputs of other heads are not kept by a
        comparison, and are computed again.
        """
        height, width = reference.preprocessing.crop
        image_bytes = 3 * height * width
        if found is None:
            _, outputs = next(reference.outputs(spread(images, 1)))
            image_bytes += sum(values.nbytes for values in outputs.values())
            limit = max(BATCH_SIZE, LARGEST_BYTES // image_bytes)
            return cls.record(reference, spread(images, limit))
        limit = max(1, LARGEST_BYTES // image_bytes)
        chosen, rows = spread(images, limit), list(positions(len(images), limit))
        return cls._of(
            reference,
            chosen,
            np.concatenate(list(pixel_batches(chosen, reference.preprocessing, BATCH_SIZE))),
            {LOGITS: found.reference[rows]},
            None if found.labels is None else found.labels[rows],
        )

    @property
    def logits(self) -> NDArray[np.float32]:
        """The output of a classifier, FP32 [N,classes]."""
        return self.expected[LOGITS]

    @property
    def classifies(self) -> bool:
        """Whether the outputs are logits."""
        return self.head == CLASSIFIER

    @property
    def output_kind(self) -> str:
        """What the outputs are, in the gate's words."""
        return HEADS[self.head]

    def __len__(self) -> int:
        return len(self.pixels)

    def name_of(self, index: int) -> str:
        """What an image is called."""
        return self.names[index]

    def image(self, index: int) -> Image.Image:
        """An image as the network sees it, cropped."""
        pixels = self.pixels[index]
        return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)

    def digest(self) -> str:
        """SHA-256 over the images and the reference's outputs."""
        return recorded.digest(self.pixels, self.expected)

    def outputs(self, images: ReferenceOutputs) -> Iterator[tuple[NDArray[np.uint8], Outputs]]:
        """Batches of pixels, and PyTorch's outputs for them; `images` is the recording itself."""
        for at in range(0, len(images), BATCH_SIZE):
            part = slice(at, at + BATCH_SIZE)
            yield (
                images.pixels[part],
                {name: values[part] for name, values in images.expected.items()},
            )

    def to_input(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """The pixels as the converted model takes them."""
        return recorded.to_input(self.input_kind, pixels, self.preprocessing)

    def to_bytes(self) -> bytes:
        """The file; what a client has to keep to is in the passport beside it."""
        arrays = {
            "name": np.asarray(self.name),
            "pixels": self.pixels,
            "names": np.asarray(self.names),
            **self.expected,
        }
        if self.labels is not None:
            arrays["labels"] = self.labels
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        return file.getvalue()


def read(
    path: Path,
    outputs: Mapping[str, Sequence[int]],
    input_kind: str,
    preprocessing: Preprocessing,
    activation: Activation | None = None,
    head: str = CLASSIFIER,
) -> ReferenceOutputs:
    """Read the file; raises `InputFileError` when it is not one.

    `outputs` are the name and the dimensions of each output, without the batch, and the rest is
    also what the passport beside it says.
    """
    found = recorded.read(path, outputs)
    return ReferenceOutputs(
        **vars(found),
        input_kind=input_kind,
        preprocessing=preprocessing,
        activation=activation or SOFTMAX,
        head=head,
    )
