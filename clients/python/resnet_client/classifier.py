"""The classifier: images in any form in, labels and probabilities out.

    images ─ batches ─► prepare ─► request ─► predictions, in order
                        (up to four batches at once, each in its own thread)

The model's contract is read from the server once per served version. When another version computes
a request than the images were prepared for, they are prepared and sent again.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_client.contract import OUTPUT, Contract, Decode
from resnet_client.errors import (
    BadImageError,
    InvalidInputError,
    ModelError,
    ServerError,
    UsageError,
)
from resnet_client.images import ImageLike, name_of
from resnet_client.prediction import Prediction, predictions
from resnet_client.served import VERSION_CHANGES, Served

_BATCHES_IN_FLIGHT = 4
_ENSEMBLE_TAG = re.compile(r"^(in ensemble '[^']*', )?(image: )?")


@dataclass(frozen=True)
class Classification:
    """The result for one image: its predictions, best first, or the error of a bad image."""

    image: ImageLike
    predictions: tuple[Prediction, ...] = ()
    error: BadImageError | None = None


@dataclass(frozen=True)
class _Element:
    """One image as an element of a request's batch."""

    name: str
    tensor: NDArray[Any]


class _VersionChangedError(Exception):
    """Another version than the images were prepared for computed the request."""


class Classifier(Served):
    """A classifier that the Triton at `url` (gRPC, host:port) serves as `model`.

    `decode` says where images are decoded and resized: in this "client", which then sends 8-bit
    pixels, or in the "server", which then gets the files unchanged. `timeout_s` bounds each
    request. `version` is the served version, "" the latest. Nothing is sent before the first image.
    Threads may share a Classifier. Raises `UsageError` for arguments that cannot work.
    """

    def __init__(
        self,
        url: str = "127.0.0.1:8001",
        model: str = "resnet50",
        *,
        decode: Decode = "client",
        timeout_s: float = 30.0,
        version: str = "",
    ) -> None:
        super().__init__(url, model, decode=decode, timeout_s=timeout_s, version=version)

    def classify(self, image: ImageLike, top: int | None = None) -> list[Prediction]:
        """The `top` best classes of one image, best first.

        Where `top` is None: the best five classes, of a network with sigmoid outputs every label
        from its threshold on, which may be none, and of one with a single output the outcome.
        Raises `BadImageError` for an image that cannot be decoded, and the other errors of
        resnet_client.errors where the request fails.
        """
        (found,) = self._classify_batch([image], _checked_top(top))
        if found.error is not None:
            raise found.error
        return list(found.predictions)

    def classify_many(
        self, images: Iterable[ImageLike], top: int | None = None, batch_size: int | None = None
    ) -> Iterator[Classification]:
        """Classify a stream of images in batches, several at once; results in the images' order.

        `batch_size` is the model's maximum when None. A bad image is reported in its own result and
        does not affect the others; when the server fails, iteration raises. A few batches of
        `images` at most are read ahead.
        """
        _checked_top(top)
        if isinstance(images, (str, bytes, os.PathLike)):
            raise UsageError("classify_many needs several images; for one, use classify")
        most = self._contract().max_batch_size
        size = most if batch_size is None else batch_size
        if not 1 <= size <= most:
            raise UsageError(f"a batch of {size}: {self.model!r} accepts 1 to {most} images")
        return self._stream(iter(images), top, size)

    def _stream(
        self, images: Iterator[ImageLike], top: int | None, size: int
    ) -> Iterator[Classification]:
        pool = ThreadPoolExecutor(_BATCHES_IN_FLIGHT, thread_name_prefix="resnet-client")
        batches: deque[Future[list[Classification]]] = deque()
        try:
            while batch := list(islice(images, size)):
                batches.append(pool.submit(self._classify_batch, batch, top))
                while len(batches) > _BATCHES_IN_FLIGHT or (batches and batches[0].done()):
                    yield from batches.popleft().result()
            while batches:
                yield from batches.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _classify_batch(self, images: Sequence[ImageLike], top: int | None) -> list[Classification]:
        for _ in range(VERSION_CHANGES):
            contract = self._contract()
            elements = [_prepared(contract, image) for image in images]
            good = [element for element in elements if isinstance(element, _Element)]
            try:
                found = iter(self._request(contract, good, top) if good else ())
            except _VersionChangedError:
                self._forget(contract)
                continue
            outcomes = [next(found) if isinstance(e, _Element) else e for e in elements]
            return [
                Classification(image, error=outcome)
                if isinstance(outcome, BadImageError)
                else Classification(image, outcome)
                for image, outcome in zip(images, outcomes, strict=True)
            ]
        raise self._changing()

    def _request(
        self, contract: Contract, elements: Sequence[_Element], top: int | None
    ) -> list[tuple[Prediction, ...] | BadImageError]:
        batch = np.stack([element.tensor for element in elements])
        try:
            version, rows = self._connection.infer(
                contract.model,
                self._version,
                input_name=contract.input,
                batch=batch,
                output_name=OUTPUT,
                classes=contract.classes,
            )
        except (ServerError, ModelError) as error:
            if not self._version and self._connection.latest(contract.model) != contract.version:
                raise _VersionChangedError from error
            if not contract.encoded or not isinstance(error, InvalidInputError):
                raise
            if len(elements) > 1:  # one broken file fails the whole request: find it
                return [self._request(contract, [element], top)[0] for element in elements]
            reason = _ENSEMBLE_TAG.sub("", error.what)
            return [BadImageError(reason, where=elements[0].name)]
        if version != contract.version:
            raise _VersionChangedError
        return [predictions(row, top, contract.activation) for row in rows]


def _prepared(contract: Contract, image: ImageLike) -> _Element | BadImageError:
    try:
        return _Element(name_of(image), contract.prepare(image))
    except BadImageError as error:
        return error


def _checked_top(top: int | None) -> int | None:
    if top is not None and top < 1:
        raise UsageError(f"top must be at least 1, not {top}")
    return top
