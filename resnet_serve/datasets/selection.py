"""Some of many images, spread evenly over the list, so that every class folder has its share."""

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
        return f"{self.images.name}, evenly chosen"

    @property
    def skipped(self) -> tuple[object, ...]:
        """What the list itself passed over."""
        return tuple(getattr(self.images, "skipped", ()))

    def __len__(self) -> int:
        return len(self.chosen)

    def name_of(self, index: int) -> str:
        return self.images.name_of(self.chosen[index])

    def image(self, index: int) -> Image.Image:
        return self.images.image(self.chosen[index])

    @property
    def labels(self) -> NDArray[np.int64] | None:
        labels = self.images.labels
        return None if labels is None else labels[list(self.chosen)]

    def digest(self) -> str:
        """SHA-256 over the whole list and the positions taken from it."""
        return hashlib.sha256(f"{self.images.digest()} {self.chosen}".encode()).hexdigest()


def spread(images: Images, limit: int | None) -> Images:
    """At most `limit` of the images, at even distances; all of them when there are no more."""
    chosen = positions(len(images), limit)
    return images if len(chosen) == len(images) else Selection(images, chosen)


def positions(count: int, limit: int | None) -> tuple[int, ...]:
    """At most `limit` of the numbers 0…count−1, at even distances."""
    if limit is None or limit >= count:
        return tuple(range(count))
    return tuple(index * count // limit for index in range(limit))
