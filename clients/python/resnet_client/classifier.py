"""The classifier: images in any form in, labels and probabilities out.

    images ─ batches ─► prepare ─► request ─► predictions, in order
                        (several batches at once, each in its own thread)

The model's contract is read from the server once per served version. When another version computes
a request than the images were prepared for, they are prepared and sent again.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from resnet_client import arguments
from resnet_client.contract import Contract, Decode
from resnet_client.errors import (
    BadImageError,
    InvalidInputError,
    ModelError,
    ServerError,
    UsageError,
)
from resnet_client.images import ImageLike, name_of, read_once
from resnet_client.outputs import Outputs, VersionChangedError
from resnet_client.prediction import Prediction
from resnet_client.served import VERSION_CHANGES, Served
from resnet_client.sharing import SharedInputs
from resnet_client.transport.channel import Tls
from resnet_client.transport.connection import Notice
from resnet_client.transport.deadlines import Deadline

_BATCHES_IN_FLIGHT = 4
_ENSEMBLE_TAG = re.compile(r"^(in ensemble '[^']*', )?(image: )?")

Progress = Callable[[int], None]
_Outcome: TypeAlias = tuple[Prediction, ...] | BadImageError


@dataclass(frozen=True)
class Classification:
    """The result for one image: its predictions, best first, or the error of a bad image."""

    image: ImageLike
    predictions: tuple[Prediction, ...] = ()
    error: BadImageError | None = None


class _Element(NamedTuple):
    """One image as an element of a request's batch."""

    image: ImageLike
    tensor: NDArray[Any]


class Classifier(Served):
    """A classifier that the Triton at `url` (gRPC, host:port) serves as `model`.

    `decode` says where images are decoded and resized: in this "client", which then sends 8-bit
    pixels, or in the "server", which then gets the files unchanged. `timeout_s` bounds each
    request; until then, a request that fails for a reason that may pass is sent again, and `notice`
    is told of it. `version` is the served version, "" the latest. `probabilities` False sends only
    the best classes over the network, without the probabilities of a softmax.

    `tls` encrypts (True, or a `Tls` with files), `headers` go with every request, as
    {"authorization": "Bearer …"}, `keep_alive_s` is the pause between pings of an idle connection.
    Nothing is sent before the first image. Threads may share a Classifier. Raises `UsageError` for
    arguments that cannot work.
    """

    def __init__(
        self,
        url: str = "127.0.0.1:8001",
        model: str = "resnet50",
        *,
        decode: Decode = "client",
        timeout_s: float = 30.0,
        version: str = "",
        probabilities: bool = True,
        tls: bool | Tls = False,
        headers: Mapping[str, str] | None = None,
        keep_alive_s: float | None = None,
        notice: Notice | None = None,
    ) -> None:
        super().__init__(
            url,
            model,
            decode=decode,
            timeout_s=timeout_s,
            version=version,
            tls=tls,
            headers=headers,
            keep_alive_s=keep_alive_s,
            notice=notice,
        )
        self._notice = notice
        self._probabilities = probabilities
        self._outputs = Outputs(self._connection, self._version, probabilities=probabilities)

    @contextmanager
    def shared_memory(self, images: int = 64, *, key: str | None = None) -> Iterator[Classifier]:
        """This classifier, whose pixels go through shared memory to a server on this host.

        It has room for `images` on their way at once, and for one batch at least; further requests
        wait. `key` is that of the server's restricted protocols. Where the server cannot be reached
        by shared memory, pixels go over gRPC: `notice` is told why, or a `RuntimeWarning` says it.
        The memory is released at the end of the block, whatever ends it.
        """
        images, deadline = arguments.count("images", images), self.deadline()
        inputs = SharedInputs(
            self._connection, None if key is None else arguments.text("key", key), self._notice
        )
        with inputs.opened(self._contract(deadline), images, deadline):
            fast = copy(self)
            fast._outputs = Outputs(inputs, self._version, probabilities=self._probabilities)
            yield fast

    def classify(
        self, image: ImageLike, top: int | None = None, *, request_id: str = ""
    ) -> list[Prediction]:
        """The `top` best classes of one image, best first.

        Where `top` is None: the best five classes, of a network with sigmoid outputs every label
        from its threshold on, which may be none, and of one with a single output the outcome.
        `request_id` is for the server's access log.
        Raises `BadImageError` for an image that cannot be decoded, and the other errors of
        resnet_client.errors where the request fails.
        """
        deadline = self.deadline(arguments.request_id(request_id))
        return self.classify_by(image, arguments.top(top), deadline)

    def classify_many(
        self,
        images: Iterable[ImageLike],
        top: int | None = None,
        batch_size: int | None = None,
        *,
        concurrency: int = _BATCHES_IN_FLIGHT,
        progress: Progress | None = None,
        request_id: str = "",
    ) -> Iterator[Classification]:
        """Classify a stream of images in batches, several at once; results in the images' order.

        `batch_size` is the model's maximum when None, `concurrency` the number of batches on their
        way at once. A bad image is reported in its own result and does not affect the others; when
        the server fails, iteration raises. A few batches of `images` at most are read ahead.
        `progress` is called with the number of images done. The requests have the ids
        `request_id`-1, -2, … in the server's access log.
        """
        name = arguments.request_id(request_id)
        top, concurrency = arguments.top(top), arguments.count("concurrency", concurrency)
        if isinstance(images, (str, bytes, os.PathLike)):
            raise UsageError("classify_many needs several images; for one, use classify")
        size = self.checked_batch_size(batch_size)
        return self._stream(iter(images), top, size, concurrency, progress, name)

    def checked_batch_size(self, wanted: int | None) -> int:
        """The model's maximum where nothing is wanted; raises `UsageError` for what it refuses."""
        most = self._contract(self.deadline()).max_batch_size
        size = most if wanted is None else arguments.count("batch_size", wanted)
        if size > most:
            raise UsageError(f"a batch of {size}: {self.model!r} accepts 1 to {most} images")
        return size

    def classify_by(
        self, image: ImageLike, top: int | None, deadline: Deadline
    ) -> list[Prediction]:
        """`classify` until a deadline that was set before."""
        (found,) = self._outcomes([image], top, deadline)
        if isinstance(found, BadImageError):
            raise found
        return list(found)

    def classify_batch(
        self,
        images: Sequence[ImageLike],
        top: int | None,
        deadline: Deadline | None = None,
        request_id: str = "",
    ) -> list[Classification]:
        """One request: the results of at most the model's maximum of images.

        Without a `deadline`, it begins now, with this `request_id`.
        """
        outcomes = self._outcomes(images, top, deadline or self.deadline(request_id))
        return [
            Classification(image, error=outcome)
            if isinstance(outcome, BadImageError)
            else Classification(image, outcome)
            for image, outcome in zip(images, outcomes, strict=True)
        ]

    def _outcomes(
        self, images: Sequence[ImageLike], top: int | None, deadline: Deadline
    ) -> list[_Outcome]:
        """The predictions for each image, or its error."""
        readable = [_read(image) for image in images]
        for _ in range(VERSION_CHANGES):
            contract = self._contract(deadline)
            elements = [
                _prepared(contract, image, given)
                for image, given in zip(readable, images, strict=True)
            ]
            good = [element for element in elements if isinstance(element, _Element)]
            try:
                found = iter(self._request(contract, good, top, deadline) if good else ())
            except VersionChangedError:
                self._forget(contract)
                continue
            return [next(found) if isinstance(e, _Element) else e for e in elements]
        raise self._changing()

    def _stream(
        self,
        images: Iterator[ImageLike],
        top: int | None,
        size: int,
        concurrency: int,
        progress: Progress | None,
        name: str,
    ) -> Iterator[Classification]:
        pool = ThreadPoolExecutor(concurrency, thread_name_prefix="resnet-client")
        batches: deque[Future[list[Classification]]] = deque()
        done = 0
        ids = (f"{name}-{number}" if name else "" for number in count(1))
        try:
            more = True
            while more or batches:
                if batch := list(islice(images, size)):
                    batches.append(pool.submit(self.classify_batch, batch, top, None, next(ids)))
                more = bool(batch)
                while batches and (not more or len(batches) > concurrency or batches[0].done()):
                    for result in batches.popleft().result():
                        done += 1
                        yield result
                        if progress is not None:
                            progress(done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _request(
        self,
        contract: Contract,
        elements: Sequence[_Element],
        top: int | None,
        deadline: Deadline,
    ) -> list[_Outcome]:
        tensors = [element.tensor for element in elements]
        batch = np.stack(tensors) if len(tensors) > 1 else tensors[0][None]
        try:
            return list(self._outputs.predictions(contract, batch, top, deadline))
        except (ServerError, ModelError) as error:
            latest = self._version or self._connection.latest(contract.model, deadline)
            if latest != contract.version:
                raise VersionChangedError from error
            if not contract.encoded or not isinstance(error, InvalidInputError):
                raise
            if len(elements) > 1:  # one broken file fails the whole request: find it
                return [self._request(contract, [each], top, deadline)[0] for each in elements]
            reason = _ENSEMBLE_TAG.sub("", error.what)
            return [BadImageError(reason, where=name_of(elements[0].image))]


def _read(image: ImageLike) -> ImageLike | BadImageError:
    try:
        return read_once(image)
    except BadImageError as error:
        return error


def _prepared(
    contract: Contract, image: ImageLike | BadImageError, given: ImageLike
) -> _Element | BadImageError:
    if isinstance(image, BadImageError):
        return image
    try:
        return _Element(given, contract.prepare(image))
    except BadImageError as error:
        return error if error.where != "image" else error.about(name_of(given))
