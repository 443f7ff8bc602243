"""Probe: the reference's logits on some images under any preprocessing, each computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from resnet_convert.parity.reference import Reference
from resnet_serve.comparison.distances import BATCH_SIZE
from resnet_serve.datasets import Images, pixel_batches
from resnet_serve.datasets.selection import Selection
from resnet_serve.preprocessing import Preprocessing
from resnet_serve.runtimes import LOGITS


@dataclass
class Probe:
    """Logits of one network on `images`; `advance` hears of every batch."""

    reference: Reference
    images: Images
    advance: Callable[[], None]
    _known: dict[Preprocessing, dict[int, NDArray[np.float32]]] = field(default_factory=dict)

    def decisions(self, preprocessing: Preprocessing, rows: Sequence[int]) -> NDArray[np.int64]:
        """The class of each of the rows, [len(rows)]; raises `ImageError`."""
        return np.asarray(self.logits(preprocessing, rows).argmax(axis=1), dtype=np.int64)

    def logits(self, preprocessing: Preprocessing, rows: Sequence[int]) -> NDArray[np.float32]:
        """The logits of the rows, [len(rows),classes]; raises `ImageError`."""
        known = self._known.setdefault(preprocessing, {})
        missing = [row for row in rows if row not in known]
        if missing:
            left = iter(missing)
            for found in self._compute(preprocessing, Selection(self.images, tuple(missing))):
                known.update((next(left), each) for each in found)
                self.advance()
        return np.stack([known[row] for row in rows])

    def _compute(
        self, preprocessing: Preprocessing, images: Images
    ) -> Iterator[NDArray[np.float32]]:
        """In batches; the logits for the preprocessing of the weights are kept for parity too."""
        if preprocessing == self.reference.preprocessing:
            for _, outputs in self.reference.outputs(images):
                yield outputs[LOGITS]
            return
        model = self.reference.load()
        for pixels in pixel_batches(images, preprocessing, BATCH_SIZE):
            yield model.run_all(preprocessing.normalize(pixels))[LOGITS]
