"""Some of many images, spread evenly over the list, so that every class folder is represented."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_serve.datasets import Images


@dataclass(frozen=True)
class Selection:
    """The images at the positions `chosen` of a longer list."""

    images: Images
    chosen: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of the list in reports."""
        return f"{self.images.name}, evenly chosen"

    @property
    def skipped(self) -> tuple[object, ...]:
        """The files that the list itself skipped."""
        return tuple(getattr(self.images, "skipped", ()))

    def __len__(self) -> int:
        return len(self.chosen)

    def name_of(self, index: int) -> str:
        """The name of image `index` of the selection in reports."""
        return self.images.name_of(self.chosen[index])

    def image(self, index: int) -> Image.Image:
        """Image `index` of the selection in RGB."""
        return self.images.image(self.chosen[index])

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Class indices of the selection [N], or None."""
        labels = self.images.labels
        return None if labels is None else labels[list(self.chosen)]

    def digest(self) -> str:
        """SHA-256 over the whole list and the chosen positions."""
        return hashlib.sha256(f"{self.images.digest()} {self.chosen}".encode()).hexdigest()


def spread(images: Images, limit: int | None) -> Images:
    """At most `limit` of the images, at even distances; all of them when there are fewer."""
    chosen = positions(len(images), limit)
    return images if len(chosen) == len(images) else Selection(images, chosen)


def positions(count: int, limit: int | None) -> tuple[int, ...]:
    """At most `limit` of the numbers 0…count−1, at even distances."""
    if limit is None or limit >= count:
        return tuple(range(count))
    return tuple(index * count // limit for index in range(limit))
