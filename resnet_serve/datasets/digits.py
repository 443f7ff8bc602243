"""The handwritten digits of scikit-learn: real, labelled images that every host has.

Unchanged (`Digits`), and with noise and a covered patch (`HardDigits`), where a network makes
enough mistakes for a loss of accuracy to be measurable.
"""

from __future__ import annotations

import hashlib
import io
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_serve import durable
from resnet_serve.optional import optional

sklearn_datasets = optional("sklearn.datasets", extra="digits")
sklearn_model_selection = optional("sklearn.model_selection", extra="digits")

HELD_OUT = 500
NOISE = 48.0  # standard deviation, in grey levels of 0 to 255
PATCH = 3  # of the 8 × 8 pixels

# Greys [N,8,8], the digits [N], and their numbers in scikit-learn [N]; not to be written into.
Part = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]


@cache
def _part(held_out: bool) -> Part:
    """One of the two parts; scikit-learn reads a text file each time."""
    digits = sklearn_datasets.load_digits()
    greys = np.round(digits.images * (255 / 16)).astype(np.uint8)
    parts = sklearn_model_selection.train_test_split(
        np.arange(len(greys)),
        test_size=HELD_OUT,
        stratify=digits.target,
        random_state=2016,
    )
    chosen = np.sort(parts[1] if held_out else parts[0])
    found = greys[chosen], digits.target[chosen].astype(np.int64), chosen
    for array in found:
        array.setflags(write=False)
    return found


class Digits:
    """scikit-learn's 1,797 handwritten digits (UCI, 8×8 greys), split once, stratified and fixed.

    1,297 are for training and calibration, 500 are held out and never used for training.
    """

    LABELS = tuple(str(digit) for digit in range(10))

    def __init__(self, *, held_out: bool) -> None:
        self.held_out = held_out
        self.name = f"digits ({'held out' if held_out else 'training part'})"

    @cached_property
    def _data(self) -> Part:
        return _part(self.held_out)

    def __len__(self) -> int:
        return len(self._data[0])

    def name_of(self, index: int) -> str:
        """The name of image `index` in reports."""
        return f"digit {self._data[2][index]}"

    def image(self, index: int) -> Image.Image:
        """Image `index` in RGB."""
        return Image.fromarray(self._data[0][index]).convert("RGB")

    @property
    def labels(self) -> NDArray[np.int64]:
        """The digits [N]."""
        return self._data[1]

    def digest(self) -> str:
        """SHA-256 of the images."""
        return hashlib.sha256(self._data[0].tobytes()).hexdigest()

    def export(self, folder: Path, count: int) -> list[Path]:
        """Write the first `count` images as PNG files `<label>/<number>.png`; returns the paths.

        Raises `HostError` for a folder that cannot be written.
        """
        paths = []
        for index in range(min(count, len(self))):
            greys, labels, numbers = self._data
            path = folder / str(labels[index]) / f"{numbers[index]:04d}.png"
            encoded = io.BytesIO()
            Image.fromarray(greys[index]).save(encoded, "PNG")
            with durable.explained(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encoded.getvalue())
            paths.append(path)
        return paths


class HardDigits(Digits):
    """The digits with a 3 × 3 patch covered by grey, and Gaussian noise everywhere.

    The same `draw` gives the same images; training uses another in every epoch. `digits-hard` is
    the held-out part at draw 0.
    """

    def __init__(self, *, held_out: bool, draw: int = 0) -> None:
        super().__init__(held_out=held_out)
        self.draw = draw
        self.name = f"hard {self.name}"

    @cached_property
    def _data(self) -> Part:
        clean, labels, numbers = super()._data
        generator = np.random.default_rng((2016, self.held_out, self.draw))
        greys = clean.astype(np.float64)
        side = greys.shape[-1]
        corners = generator.integers(0, side - PATCH + 1, (len(greys), 2))
        for image, (top, left) in zip(greys, corners, strict=True):
            image[top : top + PATCH, left : left + PATCH] = 128
        greys += generator.normal(0, NOISE, greys.shape)
        return np.clip(np.round(greys), 0, 255).astype(np.uint8), labels, numbers
