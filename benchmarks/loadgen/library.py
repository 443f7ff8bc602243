"""The query sample library: labelled images that LoadGen asks for by their index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resnet_serve.datasets import Images
from resnet_serve.preprocessing import Preprocessing


class Library:
    """Images as pixels, UINT8 [H,W,3]: decoded when LoadGen loads them, outside the measurement."""

    def __init__(self, images: Images, preprocessing: Preprocessing) -> None:
        self._images, self._preprocessing = images, preprocessing
        self._loaded: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self._images)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of each image [N]; raises `ValueError` where the images have none."""
        labels = self._images.labels
        if labels is None:
            raise ValueError(f"{self._images.name} has no labels")
        return labels

    def load(self, indices: Sequence[int]) -> None:
        """Decode these images; LoadGen calls it before it asks for them."""
        for index in indices:
            self._loaded[index] = self._preprocessing.pixels(self._images.image(index))

    def unload(self, indices: Sequence[int]) -> None:
        """Forget these images. LoadGen may name one twice."""
        for index in indices:
            self._loaded.pop(index, None)

    def batch(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """The pixels [N,H,W,3] of images that are loaded."""
        return np.stack([self._loaded[index] for index in indices])
