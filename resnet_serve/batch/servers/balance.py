"""Balance: which endpoint gets the next request, and what becomes of one that fails.

The endpoint with the fewest requests pending is next; of equal ones, that which waited longest. One
that fails is left out for a pause that doubles from a quarter of a second to 15 s, and then gets
one request; when that succeeds, it is as before. A full queue is such a failure: the others get
what it refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from resnet_serve.errors import ResnetServeError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 15.0
ClientT = TypeVar("ClientT")
ResultT = TypeVar("ResultT")
Say = Callable[[str], None]


@dataclass
class Endpoint(Generic[ClientT]):
    """An endpoint and its state: `used` counts its requests, `last_used` is the number of the last
    among those of all; `out_until` is 0 for one that is in use.
    """

    url: str
    client: ClientT
    pending: int = 0
    used: int = 0
    last_used: int = 0
    failed: int = 0
    out_until: float = 0.0
    pause_s: float = FIRST_PAUSE_S


class Balance(Generic[ClientT]):
    """Requests over endpoints; threads may share it. See the module.

    A request is given up when no endpoint has answered any request for `patience_s`. `say` is told
    when an endpoint is left out and when it is back.
    """

    def __init__(
        self,
        clients: Sequence[tuple[str, ClientT]],
        *,
        patience_s: float,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoints = [Endpoint(url, client) for url, client in clients]
        self._patience_s = patience_s
        self._say = say
        self._clock = clock
        self._changed = threading.Condition()
        self._answered = clock()
        self._requests = 0

    def send(
        self,
        request: Callable[[ClientT], ResultT],
        passing: type[ResnetServeError] | tuple[type[ResnetServeError], ...],
    ) -> ResultT:
        """Send one request to an endpoint, and to another where that fails with `passing`.

        Raises the last error when the patience is over, and every other error at once.
        """
        while True:
            endpoint = self._next()
            try:
                with self._counted(endpoint):
                    result = request(endpoint.client)
            except passing as error:
                if self._failed(endpoint, error) > self._patience_s:
                    raise
                continue
            self._succeeded(endpoint)
            return result

    def _next(self) -> Endpoint[ClientT]:
        """The endpoint for the next request; waits while all are left out."""
        with self._changed:
            while True:
                now = self._clock()
                free = [
                    each
                    for each in self.endpoints
                    # One that comes back gets a single request at first.
                    if not each.out_until or (each.out_until <= now and not each.pending)
                ]
                if free:
                    chosen = min(free, key=lambda each: (each.pending, each.last_used))
                    chosen.pending += 1
                    chosen.used += 1
                    self._requests += 1
                    chosen.last_used = self._requests
                    return chosen
                waiting = [each.out_until for each in self.endpoints if each.out_until > now]
                self._changed.wait(max(0.01, min(waiting) - now) if waiting else None)

    @contextmanager
    def _counted(self, endpoint: Endpoint[ClientT]) -> Iterator[None]:
        try:
            yield
        finally:
            with self._changed:
                endpoint.pending -= 1
                self._changed.notify_all()

    def _failed(self, endpoint: Endpoint[ClientT], error: ResnetServeError) -> float:
        """Leave it out; the seconds since any endpoint has answered."""
        with self._changed:
            now = self._clock()
            first = not endpoint.out_until
            endpoint.failed += 1
            if first or endpoint.out_until <= now:  # requests that failed together count once
                endpoint.pause_s = (
                    FIRST_PAUSE_S if first else min(2 * endpoint.pause_s, LONGEST_PAUSE_S)
                )
                endpoint.out_until = now + endpoint.pause_s
            self._changed.notify_all()
            silent_s = now - self._answered
        if first:
            self._say(f"{endpoint.url} is left out for now: {error.what}")
        return silent_s

    def _succeeded(self, endpoint: Endpoint[ClientT]) -> None:
        with self._changed:
            back = endpoint.out_until and endpoint.out_until <= self._clock()
            if back:
                endpoint.out_until = 0.0
            self._answered = self._clock()
            self._changed.notify_all()
        if back:
            self._say(f"{endpoint.url} is used again")
