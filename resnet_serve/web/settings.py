"""Settings: what one process of the web application allows, and how many requests it has now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from resnet_serve.errors import UnavailableError

ResultT = TypeVar("ResultT")
RETRY_AFTER_S = 1


@dataclass(frozen=True)
class Settings:
    """Limits of requests, and who may send them.

    `token` is what requests have to carry, None where everybody who reaches the port may send.
    `hosts` are the names by which a browser may call it, empty for any. A body has at most
    `max_body_bytes` and arrives within `upload_timeout_s`; a request is done within `timeout_s`
    more. `concurrency` requests are in work at once, and further ones are refused.
    """

    token: str | None = field(default=None, repr=False)
    hosts: frozenset[str] = frozenset()
    secure: bool = False
    max_body_bytes: int = 32 << 20
    concurrency: int = 16
    upload_timeout_s: float = 30.0
    timeout_s: float = 10.0


class BusyError(UnavailableError):
    """As many requests are in work as are allowed at once."""


class Slots:
    """The requests in work, each of them in a thread of its own; used by one event loop."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="resnet-web")

    @contextmanager
    def taken(self) -> Iterator[None]:
        """A place among them; raises `BusyError` where there is none."""
        if self._taken >= self._most:
            raise BusyError(
                f"{self._most} requests are in work, as many as are allowed at once",
                remedy="Send it again in a moment, or start the web application with a higher "
                "--concurrency.",
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def run(self, work: Callable[[], ResultT]) -> ResultT:
        """The result of work that waits or computes; within `taken`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Start no further work."""
        self._threads.shutdown(wait=False, cancel_futures=True)
