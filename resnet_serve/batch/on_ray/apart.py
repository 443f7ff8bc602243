"""Apart: decoding in a process of its own, for images that may end the process that decodes them.

A decoder in C that crashes takes the whole worker with it, and the part would be begun again for
ever. Here the crash is that of one image.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from resnet_serve.batch.failures import Failure, Kind

Prepare = Callable[[bytes], "NDArray[Any] | Failure"]


class Apart:
    """`prepare` in another process, one image at a time; a new process after one that crashed."""

    def __init__(self, prepare: Prepare) -> None:
        self._prepare = prepare
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, data: bytes) -> NDArray[Any] | Failure:
        """The element of an image, or the failure that its process has ended."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        try:
            return self._pool.submit(self._prepare, data).result()
        except BrokenProcessPool:
            self.close()
            return Failure(Kind.CRASHED, "its decoding ended the process that decoded it")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
