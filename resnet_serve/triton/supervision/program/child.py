"""One tritonserver process as its supervisor sees it: start it, ask how it ended, end it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from resnet_serve.triton.backends.pending import METRICS_VARIABLE
from resnet_serve.triton.supervision.orders import Orders
from resnet_serve.triton.supervision.program import completion, launch, loaded, secret_arguments

_REAP_S = 2.0


class Child:
    """A running server, in a session of its own; its output goes to the file `output`.

    `key_is_shown` says that its key could not be kept off the process list.
    """

    def __init__(self, orders: Orders, output: int) -> None:
        self.started = time.monotonic()
        self.ready_at: float | None = None
        self.stuck = False  # it waits for ever: for a dead backend process, or in a crash
        self.key_is_shown = False
        # At each start: a model may have been added since the last one.
        orders = replace(orders, command=loaded.named(orders.command))
        if orders.quick_load:
            orders = replace(orders, command=completion.switched(orders.command))
        key = "" if orders.endpoints is None else orders.endpoints.key
        shown, variables = secret_arguments.hide(orders.command, key)
        self._process = _launch(orders, output, shown, variables)
        try:
            if variables:
                secret_arguments.give(self.pid, key)
        except OSError:
            self.key_is_shown = True
            self._process.kill()
            self._process.wait()
            self._process = _launch(orders, output, orders.command, {})

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the server has exited."""
        return self._process.poll() is not None

    @property
    def status(self) -> int:
        """The exit status of a server that has ended, 128 + n for signal n."""
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    @property
    def served_s(self) -> float | None:
        """Seconds since it was first ready; None if it never was."""
        return None if self.ready_at is None else time.monotonic() - self.ready_at

    def end(self, grace_s: float, hurried: Callable[[float], bool]) -> None:
        """SIGTERM, wait up to `grace_s`, SIGKILL; then neither the server nor a stub is left.

        `hurried` waits up to so many seconds and returns whether the grace is cut short.
        """
        if not self.ended:
            self._process.terminate()
            deadline = time.monotonic() + grace_s
            while not self.ended and time.monotonic() < deadline:
                if hurried(min(0.1, max(0.0, deadline - time.monotonic()))):
                    break
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        _reap()


def _launch(
    orders: Orders, output: int, command: Sequence[str], variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), *command],
        env={**orders.environment, **_metrics(orders), **variables},
        cwd=orders.directory,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def _metrics(orders: Orders) -> dict[str, str]:
    """Where our backends read how many requests wait."""
    endpoints = orders.endpoints
    return {} if endpoints is None else {METRICS_VARIABLE: endpoints.metrics}


def _reap() -> None:
    """Wait for the stubs, which became this process's children when their server died."""
    deadline = time.monotonic() + _REAP_S
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.02)
        except ChildProcessError:
            return


def signal_of(status: int) -> signal.Signals | None:
    """The signal that ended a server with this exit status, 128 + n for signal n."""
    try:
        return signal.Signals(status - 128)
    except ValueError:
        return None


def how_it_ended(status: int) -> str:
    """`ended by signal 11 (SIGSEGV)` or `ended with status 1`."""
    if (number := signal_of(status)) is not None:
        return f"ended by signal {number:d} ({number.name})"
    return f"ended with status {status}"


def now() -> str:
    """The time of day in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
