"""Calls that end for their caller at the deadline, and for the server when it has responded.

Triton before 2.57 can crash when a gRPC deadline expires, or a call is cancelled, close to the
moment of its response (triton-inference-server/server #7368, #8034; fixed by #7840 and #8078).
There, an inference is sent from a thread of its own with a deadline far behind the caller's:

    caller  ─ request ─► worker ─ gRPC, deadline + 120 s ─► server
            ◄─ response, or DeadlineError while the worker still waits ─

Nothing is cancelled. What was given up is received later, and dropped.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDoneError
from queue import SimpleQueue
from typing import Any, Protocol

from resnet_client.transport.deadlines import Deadline

_REPAIRED = (2, 57)
_BEHIND_S = 120.0
_MOST_GIVEN_UP = 64

Job = Callable[[], Any]


class Held(Protocol):
    """What a call needs until it has ended, also when its caller has left before."""

    def hold(self) -> None:
        """A call that needs it begins."""

    def release(self) -> None:
        """That call has ended."""


class GivenUpError(Exception):
    """The deadline passed; the response, if any, is dropped. The message says why."""


def cancels_safely(version: str) -> bool:
    """Whether a Triton of this version survives expired deadlines; False for an unknown one."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) >= _REPAIRED


class Calls:
    """Runs calls in threads that nobody has to wait for; any number of threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._running = 0
        self._given_up = 0
        self._idle: list[_Worker] = []
        self._closed = False

    def run(
        self, call: Callable[[float], Any], deadline: Deadline, needs: Held | None = None
    ) -> Any:
        """`call(seconds)` in another thread, with seconds far behind the deadline: its result.

        What the call `needs` is held until it has ended. Raises what the call raises, and
        `GivenUpError` at the deadline.
        """
        self._enter(deadline)
        outcome: Future[Any] = Future()
        if needs is not None:
            needs.hold()
            outcome.add_done_callback(lambda _: needs.release())
        self._worker().jobs.put((outcome, lambda: call(deadline.left_s + _BEHIND_S)))
        try:
            return outcome.result(deadline.left_s)
        except NotDoneError:
            self._give_up(outcome)
            if outcome.done():  # it came just now
                return outcome.result()
            raise GivenUpError("no response") from None

    def drain(self, timeout_s: float) -> bool:
        """Wait until no call is running, so that closing the channel cancels none."""
        end = time.monotonic() + timeout_s
        with self._lock:
            return self._lock.wait_for(lambda: not self._running, max(0.0, end - time.monotonic()))

    def close(self) -> None:
        """Let the idle threads end; the others end with their calls."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.jobs.put(None)

    def _enter(self, deadline: Deadline) -> None:
        with self._lock:
            room = self._lock.wait_for(lambda: self._given_up < _MOST_GIVEN_UP, deadline.left_s)
            if not room:
                raise GivenUpError(f"{_MOST_GIVEN_UP} earlier requests are still without response")
            self._running += 1

    def _give_up(self, outcome: Future[Any]) -> None:
        with self._lock:
            if not outcome.done():
                self._given_up += 1
                outcome.add_done_callback(lambda _: self._returned())

    def _returned(self) -> None:
        with self._lock:
            self._given_up -= 1
            self._lock.notify_all()

    def _worker(self) -> _Worker:
        with self._lock:
            return self._idle.pop() if self._idle else _Worker(self._done)

    def _done(self, worker: _Worker) -> bool:
        """A worker has done its job; False where it has to end."""
        with self._lock:
            self._running -= 1
            self._lock.notify_all()
            if self._closed:
                return False
            self._idle.append(worker)
            return True


class _Worker:
    """One thread that does one job after another."""

    def __init__(self, done: Callable[[_Worker], bool]) -> None:
        self.jobs: SimpleQueue[tuple[Future[Any], Job] | None] = SimpleQueue()
        self._done = done
        # A daemon: the end of the process does not wait for a server that does not respond.
        threading.Thread(target=self._work, name="resnet-client-call", daemon=True).start()

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            outcome, call = job
            try:
                outcome.set_result(call())
            except BaseException as error:  # noqa: BLE001 - it is the caller's
                outcome.set_exception(error)
            del outcome, call, job
            if not self._done(self):
                return
