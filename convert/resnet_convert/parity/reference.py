"""Reference: the PyTorch network that a converted model is compared with.

    pixels ─► normalize ─► PyTorch            the reference's outputs
    pixels ─► to_input  ─► converted model    what it gets when it is served

The comparison therefore covers the normalisation that moved into the graph.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from resnet_convert.head import CLASSIFIER, HEADS
from resnet_serve.activation import Activation
from resnet_serve.comparison import recorded
from resnet_serve.comparison.distances import BATCH_SIZE, Outputs
from resnet_serve.datasets import Images, pixel_batches
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import pytorch as pytorch_runtime
from resnet_serve.runtimes.pytorch import PyTorchModel
from resnet_serve.weights import Weights

if TYPE_CHECKING:
    from torch import nn


class ComparedImages(Protocol):
    """Images as far as a comparison needs them: their names, and their classes where known."""

    @property
    def name(self) -> str:
        """What the set is called."""

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The class of each image, [N]; None where it is not known."""

    def digest(self) -> str:
        """SHA-256 over the images."""

    def __len__(self) -> int: ...


LARGEST_BYTES = 256 * 2**20  # of known outputs: 67,000 images of 1,000 classes
# In a batch to calibrate with: with four times as many, an image takes a third more time.
_PIXELS = 224 * 224
ImagesT_contra = TypeVar("ImagesT_contra", contravariant=True)


class OutputSource(Protocol[ImagesT_contra]):
    """Where the reference's outputs come from: PyTorch, a recording, or a composition."""

    @property
    def output_kind(self) -> str:
        """What the outputs are, in the gate's words: "logits", "features", …"""

    @property
    def classifies(self) -> bool:
        """Whether the one output has a number per class."""

    @property
    def activation(self) -> Activation | None:
        """How that output is read; None for other outputs."""

    @property
    def label_names(self) -> Sequence[str]:
        """The names of its numbers; empty where they have none."""

    def outputs(self, images: ImagesT_contra) -> Iterator[tuple[NDArray[Any], Outputs]]:
        """Batches of pixels, and the reference's outputs for them."""

    def to_input(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The pixels as the converted model takes them."""


def random_pixels(preprocessing: Preprocessing, size: int) -> NDArray[np.uint8]:
    """The same `size` random images every time, UINT8 [size,H,W,C], to time models with."""
    shape = (size, *preprocessing.crop, preprocessing.channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


class KnownOutputs:
    """Outputs of one network, by the pixels of each image, up to `LARGEST_BYTES` of them.

    The check of the reference, autoselect, budgets and parity need those of the same images.
    """

    def __init__(self) -> None:
        self._rows: dict[bytes, Mapping[str, NDArray[np.float32]]] = {}
        self._bytes = 0

    def outputs(
        self, pixels: NDArray[np.uint8], compute: Callable[[NDArray[np.uint8]], Outputs]
    ) -> Outputs:
        """Every output for a batch UINT8 [N,H,W,C]; `compute` gets the images that are new."""
        keys = [hashlib.sha256(image.tobytes()).digest() for image in pixels]
        rows = {key: self._rows[key] for key in keys if key in self._rows}
        missing = {key: at for at, key in enumerate(keys) if key not in rows}
        if missing:
            found = compute(pixels[list(missing.values())])
            for at, key in enumerate(missing):
                rows[key] = {name: values[at] for name, values in found.items()}
                self._bytes += sum(values.nbytes for values in rows[key].values())
                if self._bytes <= LARGEST_BYTES:
                    self._rows[key] = rows[key]
        return {name: np.stack([rows[key][name] for key in keys]) for name in rows[keys[0]]}


@dataclass(frozen=True)
class Reference:
    """A PyTorch network (FP32, evaluation mode), its weights, and the input its copies take.

    `input_kind` is "uint8" or "float32", `head` a key of `HEADS`; `threads` is for PyTorch on CPU.
    Logits of an image are computed once; feature maps, which are large, each time.
    """

    network: nn.Module
    weights: Weights
    input_kind: str
    threads: int
    head: str = CLASSIFIER
    _known: KnownOutputs = field(default_factory=KnownOutputs, repr=False, compare=False)

    @property
    def preprocessing(self) -> Preprocessing:
        """How the weights see images."""
        return self.weights.preprocessing

    @property
    def classifies(self) -> bool:
        """Whether the network has logits; else features."""
        return self.head == CLASSIFIER

    @property
    def activation(self) -> Activation | None:
        """How the logits are read; None without them."""
        return self.weights.activation if self.classifies else None

    @property
    def label_names(self) -> Sequence[str]:
        """The names of the logits."""
        return self.weights.labels if self.classifies else ()

    @property
    def output_kind(self) -> str:
        """What the outputs are, in the gate's words."""
        return HEADS[self.head]

    def load(self, *, device: str = "cpu") -> PyTorchModel:
        """The network as a runtime; `device` is "cpu" or "cuda"."""
        return pytorch_runtime.load(self.network, threads=self.threads, device=device)

    def outputs(self, images: Images) -> Iterator[tuple[NDArray[np.uint8], Outputs]]:
        """Batches of pixels UINT8 [N,H,W,C], and PyTorch's outputs for them."""
        with self._computing() as compute:
            for pixels in pixel_batches(images, self.preprocessing, BATCH_SIZE):
                found = self._known.outputs(pixels, compute) if self.classifies else compute(pixels)
                yield pixels, found

    @contextmanager
    def _computing(self) -> Iterator[Callable[[NDArray[np.uint8]], Outputs]]:
        """What computes PyTorch's outputs for a batch UINT8 [N,H,W,C].

        Parts of a batch run beside each other: PyTorch's threads for one part wait for each other
        in every layer. They are in channels_last, in which a layer takes less time. A network that
        may keep state in `forward`, or need another layout, has one caller at a time and its own.
        """
        known = pytorch_runtime.only_known_modules(self.network)
        beside = min(self.threads, BATCH_SIZE) if known else 1
        threads = self.threads // beside

        @cache
        def model() -> PyTorchModel:
            """Loaded for the first image whose outputs are not known yet."""
            return pytorch_runtime.load(self.network, threads=threads, channels_last=known)

        with ThreadPoolExecutor(beside) as pool:
            each_part = pool.map if beside > 1 else map

            def compute(pixels: NDArray[np.uint8]) -> Outputs:
                images = self.preprocessing.normalize(pixels)
                parts = np.array_split(images, min(beside, len(images)))
                found = list(each_part(model().run_all, parts))
                return {name: np.concatenate([each[name] for each in found]) for name in found[0]}

            yield compute

    def to_input(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """The pixels as the converted model takes them."""
        return recorded.to_input(self.input_kind, pixels, self.preprocessing)

    def inputs(self, images: Images, *, size: int | None = None) -> Iterator[NDArray[Any]]:
        """Batches of `size` images as the converted graph takes them.

        By default of so few that their activations stay near the cores: one image of 224 pixels.
        """
        height, width = self.preprocessing.crop
        fitting = min(BATCH_SIZE, max(1, _PIXELS // (height * width)))
        for pixels in pixel_batches(images, self.preprocessing, size or fitting):
            yield self.to_input(pixels)

    def random_batch(self, size: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """`size` random images: for PyTorch FP32 [size,C,H,W], and for the converted model."""
        pixels = random_pixels(self.preprocessing, size)
        return self.preprocessing.normalize(pixels), self.to_input(pixels)
