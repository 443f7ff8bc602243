"""Supervisor: starts tritonserver, restarts it when it crashes, and ends it with its parent.

    parent ── pipe ──► supervisor ──► tritonserver ──► Python stubs

The parent writes one line of JSON (`Orders`) into the pipe and keeps it open. When the pipe closes,
when the parent dies, or on SIGTERM, SIGINT or SIGHUP, the server gets SIGTERM, is killed with all
its stubs when its time is up, and its shared memory is removed; a second signal cuts that short. If
the supervisor itself is killed, the kernel sends SIGTERM to the server. The word `detach` in the
pipe keeps the server running without its parent.

A server that was ready and ends, or no longer answers, is started again on the same ports; one that
never was ready, once, where it crashed (`restarts`).

    python -m resnet_serve.triton.supervision.supervisor    # prints the process id of the server
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import shutil
import signal
import sys
import time
from functools import partial
from pathlib import Path

from resnet_serve.errors import HostError
from resnet_serve.triton.supervision import metrics, restarts, servable, server_log, status
from resnet_serve.triton.supervision.health.checks import Checks, Failed, Ready
from resnet_serve.triton.supervision.health.crash_handler import CrashHandler
from resnet_serve.triton.supervision.health.reload import Reloaded, Reloads
from resnet_serve.triton.supervision.health.stubs import Loading, Stubs
from resnet_serve.triton.supervision.log_file import LogFile
from resnet_serve.triton.supervision.orders import DETACH, SHARED_MEMORY, Orders, refusal
from resnet_serve.triton.supervision.program.child import Child, how_it_ended, now
from resnet_serve.triton.supervision.program.parent import become_subreaper, install_signals
from resnet_serve.triton.supervision.tracing import access_log

_POLL_S = 0.5
_SETTLING_POLL_S = 0.1
_LOOK_S = 5.0
_HEAL_GRACE_S = 3.0
Event = Ready | Failed | Reloaded


class _Stop(Exception):  # noqa: N818 - not an error
    """The server is to be ended and not started again."""


class Supervisor:
    """One server, kept running until it is told to stop or gives up."""

    def __init__(self, orders: Orders, pipe: int | None, wakeup: int, parent: int) -> None:
        self._orders = orders
        self._pipe = pipe
        self._wakeup = wakeup
        self._parent = parent
        self._status = status.StatusFile(None if orders.status is None else Path(orders.status))
        self._access = access_log.opened(orders)
        counts = {} if self._access is None else self._access.counts
        metrics.serve(orders, lambda: self._status.now, counts)
        self._log = None if orders.log is None else LogFile(Path(orders.log))
        self._restarts = restarts.Restarts(orders.policy)
        self._ended_at: float | None = None  # of the server before this one
        self._child: Child | None = None

    def run(self) -> int:
        """Until the server has ended for good; returns its exit status, 128 + n for signal n."""
        code = 0
        try:
            while True:
                child = self._child = self._start()
                reason = self._watch(child)
                # At once: to end its processes can take seconds.
                self._status.change(state=status.RESTARTING)
                self._ended_at, served_s = time.monotonic(), child.served_s
                ended = now()
                if reason is not None:
                    final = self._restarts.none_after(crashed=child.stuck)
                    self._say(f"{reason}: the server is {'ended' if final else 'restarted'}")
                    child.end(_HEAL_GRACE_S, self._hurried)
                self._status.change(server_pid=0)
                code = child.status
                child.end(0, self._hurried)  # its stubs, and what they left
                self._clean_memory()
                # Up to 16 MiB, which say nothing of a server that was ready.
                log = server_log.of_ended(self._log) if served_s is None else ""
                if reason is None:
                    final = self._restarts.none_after(crashed=restarts.crashed(code, log))
                last = f"{reason or how_it_ended(code)} at {ended}"
                if log and not final:
                    last += server_log.before_ready(log, code)
                if not self._again(last, served_s, final=final):
                    return code
        except _Stop:
            if self._child is not None:
                if not self._child.ended:
                    self._say("stopping the server", tell=False)
                self._child.end(self._drain_s(self._child), self._hurried)
                code = self._child.status
            self._status.change(state=status.STOPPED, server_pid=0)
            return code
        finally:
            self._clean_memory()
            if self._access is not None:
                self._access.close()
            shutil.rmtree(self._orders.scratch, ignore_errors=True)
            if self._log is not None:
                self._log.close()

    def _drain_s(self, child: Child) -> float:
        """How long a server has that is stopped: no request is in flight in one never ready."""
        served = child.ready_at is not None or self._orders.endpoints is None
        return self._orders.drain_s if served else min(_HEAL_GRACE_S, self._orders.drain_s)

    def _start(self) -> Child:
        # Of a change that was killed: the server loads all that it finds when it starts.
        servable.clear(servable.beside(Path(self._orders.scratch)))
        if self._access is not None:
            self._access.drain()  # the next server begins its names again
        self._say(f"{server_log.STARTING} tritonserver", tell=False)
        output = sys.stderr.fileno() if self._log is None else self._log.descriptor
        child = Child(self._orders, output)
        if child.key_is_shown:
            self._say("the key can be read on the process list: tracing is not allowed here")
        self._status.change(server_pid=child.pid)
        return child

    def _watch(self, child: Child) -> str | None:
        """Until it has ended (None) or must be (the reason); raises `_Stop`."""
        if not self._restarts.count:
            _reply(str(child.pid))
        endpoints, policy = self._orders.endpoints, self._orders.policy
        # A queue of its own: what the checks of the server before said late is not heard.
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        told = partial(_told, events)
        repository = servable.repository(Path(self._orders.scratch))
        checks = None if endpoints is None else Checks(endpoints, policy, told, repository)
        reloads = Reloads(self._orders, self._status, self._say, told)
        loading = Loading(child.pid, policy.unnoticed_s)
        handler = CrashHandler(child.pid, policy.handler_s)
        stubs, looked = Stubs(child.pid), 0.0
        try:
            while not child.ended:
                if child.ready_at is not None and time.monotonic() - looked > _LOOK_S:
                    stubs.refresh()
                    looked = time.monotonic()
                self._wait(_SETTLING_POLL_S if stubs.settling else _POLL_S, stubs.descriptors)
                while not events.empty():
                    looked = 0.0
                    if reason := self._heard(events.get(), child, reloads):
                        return reason
                if stuck := handler.hangs() or (child.ready_at is None and loading.unnoticed()):
                    child.stuck = True
                    return stuck
                if child.ready_at is None:
                    if time.monotonic() - child.started > policy.ready_s and checks is not None:
                        return f"not ready within {policy.ready_s:g} s"
                elif (dead := stubs.dead()) and (reason := reloads.dead(dead)):
                    return reason
            return None
        finally:
            stubs.close()
            if checks is not None:
                checks.stop()

    def _heard(self, event: Event, child: Child, reloads: Reloads) -> str | None:
        """Why the server must be restarted, if it must be."""
        if isinstance(event, Ready):
            self._ready(child)
            return None
        if isinstance(event, Reloaded):
            return reloads.done(event)
        reason = self._failed(event)
        return None if reloads.running else reason

    def _ready(self, child: Child) -> None:
        child.ready_at = time.monotonic()
        again = "again " if self._restarts.served else ""
        self._restarts.served = True
        if self._ended_at is None:
            self._status.change(state=status.SERVING)
            return
        recovery_s = child.ready_at - self._ended_at
        self._status.change(state=status.SERVING, recovery_s=recovery_s)
        self._say(f"ready {again}after {recovery_s:.1f} s")

    def _failed(self, event: Failed) -> str | None:
        failures = self._status.now.check_failures + 1
        self._status.change(check_failures=failures)
        what = f"the health check of {event.model or 'the server'} failed ({event.detail})"
        self._say(what)
        return what if event.final else None

    def _again(self, last: str, served_s: float | None, *, final: bool) -> bool:
        """Wait until the next start; False where there is none. Raises `_Stop`."""
        if self._orders.endpoints is None or final:
            self._say(last)
            self._status.change(state=status.STOPPED, last=last)
            return False
        delay_s = self._restarts.after(served_s)
        if delay_s is None:
            given_up = f"{self._restarts.quick} crashes in a row soon after the start; last: {last}"
            self._say(f"{status.GIVING_UP}{given_up}")
            self._status.change(state=status.GAVE_UP, last=last, reason=given_up)
            return False
        count = self._restarts.count
        self._say(f"{last}, restart {count} in {delay_s:g} s")
        self._status.change(state=status.RESTARTING, restarts=count, last=last)
        until = time.monotonic() + delay_s
        while (left_s := until - time.monotonic()) > 0:
            self._wait(min(left_s, _POLL_S), [])
        return True

    def _wait(self, seconds: float, others: list[int]) -> None:
        """Sleep until something happens; raises `_Stop` when the server is to be ended."""
        sources = [self._wakeup, *others, *([] if self._pipe is None else [self._pipe])]
        ready, _, _ = select.select(sources, [], [], seconds)
        if self._wakeup in ready and set(os.read(self._wakeup, 64)) - {signal.SIGCHLD}:
            raise _Stop
        if self._pipe in ready and self._pipe is not None:
            if os.read(self._pipe, 64) != DETACH:
                raise _Stop
            self._pipe = None
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), 1)
        # A forked child of the parent may keep the pipe open after the parent has died.
        if self._pipe is not None and os.getppid() != self._parent:
            raise _Stop

    def _hurried(self, seconds: float) -> bool:
        """Sleep while the server is ending; whether a signal came, which cuts that short."""
        ready, _, _ = select.select([self._wakeup], [], [], seconds)
        return bool(ready and set(os.read(self._wakeup, 64)) - {signal.SIGCHLD})

    def _say(self, text: str, *, tell: bool = True) -> None:
        """Write a line into the log, and into the parent's pipe if it is to be told."""
        line = f"resnet-serve: {text}"
        if self._log is not None:
            self._log.line(line)
        else:
            with contextlib.suppress(OSError):
                os.write(2, f"{line}\n".encode())
        if tell and self._pipe is not None:
            _reply(text)

    def _clean_memory(self) -> None:
        for region in SHARED_MEMORY.glob(f"{self._orders.shm_prefix}*"):
            region.unlink(missing_ok=True)


def main() -> int:
    """Read the orders from the pipe and run them; returns the server's exit status."""
    wakeup = install_signals()
    parent = os.getppid()
    become_subreaper()
    # A parent that does not read what is said of restarts must not stop us.
    os.set_blocking(1, False)
    line = bytearray()
    while not line.endswith(b"\n"):
        if not (data := os.read(0, 65536)):
            return 0
        line += data
    orders = Orders.from_line(bytes(line))
    try:
        if shutil.which(orders.command[0]) is None:
            raise FileNotFoundError("no such program, or it may not be started")
        supervisor = Supervisor(orders, 0, wakeup, parent)
    except (HostError, OSError) as error:
        _reply(refusal(error, orders.command[0]))
        shutil.rmtree(orders.scratch, ignore_errors=True)
        return 1
    return supervisor.run()


def _told(events: queue.SimpleQueue[Event], event: Event) -> None:
    """Called in the threads that watch."""
    events.put(event)
    with contextlib.suppress(OSError):
        os.kill(os.getpid(), signal.SIGCHLD)  # wakes the loop, and asks for nothing else


def _reply(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
