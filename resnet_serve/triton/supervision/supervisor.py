"""Supervisor: ends a tritonserver when the process that started it ends.

    parent ── pipe ──► supervisor ──► tritonserver ──► Python stubs

The parent writes one line of JSON (`Orders`) into the pipe and keeps it open. When the pipe closes,
when the parent dies, or on SIGTERM, SIGINT or SIGHUP, the server gets SIGTERM, is then killed with
all its stubs, and its shared memory is removed. If the supervisor itself is killed, the kernel
sends SIGTERM to the server. The word `detach` in the pipe keeps the server running without its
parent.

    python -m resnet_serve.triton.supervision.supervisor    # prints the process id of the server
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

DETACH = b"detach\n"
EXIT_TIMEOUT_S = 2
_GRACE_S = 2.0
_POLL_S = 0.5
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - POSIX shared memory, not a temporary file


@dataclass(frozen=True)
class Orders:
    """A command to run; `scratch` and the shared memory `shm_prefix*` are removed at its end."""

    command: list[str]
    environment: dict[str, str]
    directory: str
    scratch: str
    shm_prefix: str

    def to_line(self) -> bytes:
        """One line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Orders:
        """The inverse of `to_line`."""
        return cls(**json.loads(line))


def main() -> int:
    """Run until the server has ended; returns its exit status, 128 + n for signal n."""
    wakeup = _install_signals()
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    # Stubs whose server has died become our children, not those of process 1: we wait for them.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with os.fdopen(0, "rb", buffering=0) as pipe:
        line = pipe.readline()
        if not line.endswith(b"\n"):
            return 0
        orders = Orders.from_line(line)
        try:
            server = _start(orders, libc)
        except OSError as error:
            _reply(f"error {error}")
            return 1
        _reply(str(server.pid))
        _watch(server, pipe.fileno(), wakeup, parent)
    _end(server)
    _clean(orders)
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


def _install_signals() -> int:
    """Make signals readable from a pipe; returns its reading end."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, _noted)
    return reader


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the signal's number is in the wakeup pipe."""


def _start(orders: Orders, libc: ctypes.CDLL) -> subprocess.Popen[bytes]:
    ours = os.getpid()

    def die_with_us() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != ours:
            os._exit(1)

    return subprocess.Popen(
        orders.command,
        env=orders.environment,
        cwd=orders.directory,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_us,  # noqa: PLW1509 - this process has one thread
    )


def _reply(text: str) -> None:
    with contextlib.suppress(OSError), os.fdopen(1, "w") as out:
        out.write(text + "\n")


def _watch(server: subprocess.Popen[bytes], pipe: int, wakeup: int, parent: int) -> None:
    """Wait until the server has exited or must be ended."""
    attached = True
    while server.poll() is None:
        sources = [wakeup, pipe] if attached else [wakeup]
        ready, _, _ = select.select(sources, [], [], _POLL_S if attached else None)
        if wakeup in ready and set(os.read(wakeup, 64)) - {signal.SIGCHLD}:
            return
        if pipe in ready:
            word = os.read(pipe, 64)
            if word != DETACH:
                return
            attached = False
        # A forked child of the parent may keep the pipe open after the parent has died.
        if attached and os.getppid() != parent:
            return


def _end(server: subprocess.Popen[bytes]) -> None:
    """SIGTERM, wait, SIGKILL; returns when neither the server nor a stub is left."""
    if server.poll() is None:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(EXIT_TIMEOUT_S + _GRACE_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    deadline = time.monotonic() + _GRACE_S
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.02)
        except ChildProcessError:
            return


def _clean(orders: Orders) -> None:
    shutil.rmtree(orders.scratch, ignore_errors=True)
    for region in _SHARED_MEMORY.glob(f"{orders.shm_prefix}*"):
        region.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
