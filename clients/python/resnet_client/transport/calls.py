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
from queue import SimpleQueue
from typing import Any, Protocol

from resnet_client.transport.deadlines import Deadline

_REPAIRED = (2, 57)
_BEHIND_S = 120.0
_MOST_GIVEN_UP = 64


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
        worker = self._enter(deadline)
        if needs is not None:
            needs.hold()
        job = _Job(call, deadline, needs)
        worker.jobs.put(job)
        in_time = job.ended.acquire(timeout=min(deadline.left_s, threading.TIMEOUT_MAX))
        if not in_time and self._give_up(job):
            raise GivenUpError("no response")
        try:
            return job.result()
        finally:
            del job  # an error refers to this frame, which must not refer to the error

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

    def _enter(self, deadline: Deadline) -> _Worker:
        with self._lock:
            room = self._lock.wait_for(lambda: self._given_up < _MOST_GIVEN_UP, deadline.left_s)
            if not room:
                raise GivenUpError(f"{_MOST_GIVEN_UP} earlier requests are still without response")
            worker = self._idle.pop() if self._idle else _Worker(self._done)
            self._running += 1
            return worker

    def _give_up(self, job: _Job) -> bool:
        """The caller leaves; False where the job is done just now."""
        with self._lock:
            job.given_up = not job.done
            self._given_up += job.given_up
            return job.given_up

    def _done(self, worker: _Worker, job: _Job) -> bool:
        """A worker has done a job; False where it has to end."""
        with self._lock:
            job.done = True
            self._running -= 1
            self._given_up -= job.given_up
            self._lock.notify_all()
            if not self._closed:
                self._idle.append(worker)
            return not self._closed


class _Job:
    """One call: what it is, and what came of it."""

    def __init__(
        self, call: Callable[[float], Any], deadline: Deadline, needs: Held | None
    ) -> None:
        self.ended = threading.Lock()  # the cheapest wait with a deadline
        self.ended.acquire()
        self.done = self.given_up = False
        self._call, self._deadline, self._needs = call, deadline, needs
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """The call, in the thread of a worker."""
        try:
            self._value = self._call(self._deadline.left_s + _BEHIND_S)
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            self._error = error
        finally:
            if self._needs is not None:
                self._needs.release()

    def result(self) -> Any:
        """What the call returned; raises what it raised."""
        if self._error is None:
            return self._value
        try:
            raise self._error
        finally:
            self._error = None


class _Worker:
    """One thread that does one job after another."""

    def __init__(self, done: Callable[[_Worker, _Job], bool]) -> None:
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._done = done
        # A daemon: the end of the process does not wait for a server that does not respond.
        threading.Thread(target=self._work, name="resnet-client-call", daemon=True).start()

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            job.run()
            more = self._done(self, job)
            job.ended.release()
            del job
            if not more:
                return
