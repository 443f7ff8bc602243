"""What a process does to be the parent of a server: it hears signals, and inherits orphans."""

from __future__ import annotations

import ctypes
import os
import signal
from types import FrameType

_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Stubs whose server has died become our children, not those of process 1: we wait for them."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def install_signals() -> int:
    """Make signals readable from a pipe; returns its reading end."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, _noted)
    return reader


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the signal's number is in the wakeup pipe."""
