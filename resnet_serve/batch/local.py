"""Local: a deployed version that runs in this process, as what classifies the images of a part.

An image whose decoding ended this process before is decoded in a process of its own, see `apart`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_client.prediction import from_logits
from resnet_serve.batch.failures import Failure, Kind
from resnet_serve.batch.model import Facts, Model
from resnet_serve.batch.rows import Found
from resnet_serve.preprocessing import Limits

Prepare = Callable[[bytes], "NDArray[Any] | Failure"]


class Local:
    """The model with `threads` threads, in batches of `batch_size`; `top` predictions each.

    `top` None leaves it to the activation, as in `resnet_client.Classifier`.
    """

    def __init__(self, facts: Facts, *, threads: int, batch_size: int, top: int | None) -> None:
        self._facts = facts
        self._model = Model(facts, threads)
        self._size = batch_size
        self._top = top
        self._prepare: Prepare = self._model.prepared

    @property
    def limits(self) -> Limits:
        """Those of the version's preprocessing."""
        return self._facts.preprocessing.limits

    @property
    def batch_size(self) -> int:
        """Images that are given at once."""
        return self._size

    def found(self, batch: Sequence[bytes | Failure]) -> list[Found]:
        """The predictions, or the features, of each image."""
        ready = [each if isinstance(each, Failure) else self._prepare(each) for each in batch]
        elements = [each for each in ready if not isinstance(each, Failure)]
        values = iter(self._model.outputs(elements)) if elements else iter(())
        return [each if isinstance(each, Failure) else self._read(next(values)) for each in ready]

    def decoding(self, prepare: Prepare) -> Local:
        """The same model, with images decoded by `prepare`."""
        other = copy(self)
        other._prepare = prepare
        return other

    def close(self) -> None:
        """Release the model."""
        self._model.close()

    def _read(self, values: NDArray[np.float32]) -> Found:
        if not np.isfinite(values).all():
            return Failure(Kind.OUTPUTS, "the network's outputs are not finite")
        facts = self._facts
        if facts.activation is None:
            return values
        return from_logits(values, facts.labels, self._top, facts.activation)
