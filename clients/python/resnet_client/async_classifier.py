"""The classifier for asyncio: the same calls, awaited.

    async with AsyncClassifier("127.0.0.1:8001", "resnet50") as classifier:
        best = (await classifier.classify("cat.jpg"))[0]
        async for result in classifier.classify_many(paths):
            print(result.image, result.predictions)

Images are decoded, and responses waited for, in `concurrency` threads, so that the event loop is
never blocked. A cancelled task stops waiting at once; its request is not cancelled on the server,
which this can crash, see `transport.calls`.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import TracebackType
from typing import Any, Self, TypeVar

from resnet_client import arguments
from resnet_client.classifier import Classification, Classifier, Progress
from resnet_client.contract import Decode
from resnet_client.errors import UsageError
from resnet_client.images import ImageLike
from resnet_client.prediction import Prediction
from resnet_client.transport.channel import Tls
from resnet_client.transport.connection import Notice

ResultT = TypeVar("ResultT")


class AsyncClassifier:
    """A `Classifier` for asyncio, with its options; `concurrency` requests run at once.

    `timeout_s` counts from the call, also while all threads are busy.
    """

    def __init__(
        self,
        url: str = "127.0.0.1:8001",
        model: str = "resnet50",
        *,
        concurrency: int = 16,
        decode: Decode = "client",
        timeout_s: float = 30.0,
        version: str = "",
        probabilities: bool = True,
        tls: bool | Tls = False,
        headers: Mapping[str, str] | None = None,
        keep_alive_s: float | None = None,
        notice: Notice | None = None,
    ) -> None:
        self._concurrency = arguments.count("concurrency", concurrency)
        self._classifier = Classifier(
            url,
            model,
            decode=decode,
            timeout_s=timeout_s,
            version=version,
            probabilities=probabilities,
            tls=tls,
            headers=headers,
            keep_alive_s=keep_alive_s,
            notice=notice,
        )
        self.model = model
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="resnet-client-async")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """As `Classifier.close`."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._classifier.close)

    async def wait_ready(self, timeout_s: float | None = None) -> None:
        """As `Classifier.wait_ready`."""
        await self._run(self._classifier.wait_ready, timeout_s)

    async def classify(
        self, image: ImageLike, top: int | None = None, *, request_id: str = ""
    ) -> list[Prediction]:
        """As `Classifier.classify`."""
        deadline = self._classifier.deadline(arguments.request_id(request_id))
        return await self._run(self._classifier.classify_by, image, arguments.top(top), deadline)

    async def classify_many(
        self,
        images: Iterable[ImageLike] | AsyncIterable[ImageLike],
        top: int | None = None,
        batch_size: int | None = None,
        *,
        progress: Progress | None = None,
        request_id: str = "",
    ) -> AsyncIterator[Classification]:
        """As `Classifier.classify_many`; `images` may be an asynchronous iterator.

        A batch is sent when it is full: for images that come one by one, `batch_size` is 1.
        """
        top, name = arguments.top(top), arguments.request_id(request_id)
        ids = (f"{name}-{number}" if name else "" for number in count(1))
        if isinstance(images, (str, bytes, os.PathLike)):
            raise UsageError("classify_many needs several images; for one, use classify")
        size = await self._run(self._classifier.checked_batch_size, batch_size)
        running: deque[asyncio.Future[list[Classification]]] = deque()
        done = 0
        try:
            async for batch in _batches(images, size):
                if batch:
                    running.append(
                        asyncio.ensure_future(
                            self._run(self._classifier.classify_batch, batch, top, None, next(ids))
                        )
                    )
                while running and (
                    not batch or len(running) > self._concurrency or running[0].done()
                ):
                    for result in await running.popleft():
                        done += 1
                        yield result
                        if progress is not None:
                            progress(done)
        finally:
            for each in running:
                each.cancel()

    async def _run(self, function: Callable[..., ResultT], *given: Any) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *given)


async def _batches(
    images: Iterable[ImageLike] | AsyncIterable[ImageLike], size: int
) -> AsyncIterator[list[ImageLike]]:
    """The images in lists of `size`, and an empty list at the end."""
    batch: list[ImageLike] = []
    async for image in _one_by_one(images):
        batch.append(image)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
    yield []


async def _one_by_one(
    images: Iterable[ImageLike] | AsyncIterable[ImageLike],
) -> AsyncIterator[ImageLike]:
    if isinstance(images, AsyncIterable):
        async for image in images:
            yield image
    else:
        for image in images:
            yield image
