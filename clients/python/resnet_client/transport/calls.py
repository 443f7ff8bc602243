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
from collections.abc import Callable
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
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._running = 0
        self._given_up = 0
        self._draining = 0
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
        left_s = deadline.left_s
        job = _Job(call, left_s + _BEHIND_S, needs)
        worker.start(job)
        in_time = job.ended.acquire(timeout=min(left_s, threading.TIMEOUT_MAX))
        if not in_time and self._give_up(job):
            raise GivenUpError("no response")
        if job.error is None:
            return job.value
        try:
            raise job.error
        finally:
            job.error = None
            del job  # an error refers to this frame, which must not refer to the error

    def drain(self, timeout_s: float) -> bool:
        """Wait until no call is running, so that closing the channel cancels none."""
        with self._changed:
            self._draining += 1
            try:
                return self._changed.wait_for(lambda: not self._running, timeout_s)
            finally:
                self._draining -= 1

    def close(self) -> None:
        """Let the idle threads end; the others end with their calls."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.start(None)

    def _enter(self, deadline: Deadline) -> _Worker:
        with self._lock:
            if self._given_up >= _MOST_GIVEN_UP and not self._changed.wait_for(
                lambda: self._given_up < _MOST_GIVEN_UP, deadline.left_s
            ):
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
            if job.given_up or self._draining:
                self._changed.notify_all()
            if self._closed:
                return False
            self._idle.append(worker)
            return True


class _Job:
    """One call: what it is, and what came of it."""

    __slots__ = ("call", "done", "ended", "error", "given_up", "needs", "timeout_s", "value")

    def __init__(self, call: Callable[[float], Any], timeout_s: float, needs: Held | None) -> None:
        self.ended = threading.Lock()  # the cheapest wait with a deadline
        self.ended.acquire()
        self.done = self.given_up = False
        self.call, self.timeout_s, self.needs = call, timeout_s, needs
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """The call, in the thread of a worker."""
        try:
            self.value = self.call(self.timeout_s)
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            self.error = error
        finally:
            if self.needs is not None:
                self.needs.release()


class _Worker:
    """One thread that does one job after another, for one caller at a time."""

    def __init__(self, done: Callable[[_Worker, _Job], bool]) -> None:
        self._job: _Job | None = None
        self._given = threading.Lock()  # a third less CPU time than a queue of one
        self._given.acquire()
        self._done = done
        # A daemon: the end of the process does not wait for a server that does not respond.
        threading.Thread(target=self._work, name="resnet-client-call", daemon=True).start()

    def start(self, job: _Job | None) -> None:
        """Do this job, or end; the worker is idle."""
        self._job = job
        self._given.release()

    def _work(self) -> None:
        while True:
            self._given.acquire()
            job, self._job = self._job, None
            if job is None:
                return
            job.run()
            more = self._done(self, job)
            job.ended.release()
            del job
            if not more:
                return
