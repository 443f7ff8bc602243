"""A server that has crashed, and hangs in its own handler of the crash.

Triton's handler prints where it crashed, and allocates memory for that. A crash within the
allocator, as of a damaged heap, has its lock: then the handler waits for itself, the process never
ends, and no request is answered any more. A thread that handles a signal has that one blocked and
no other; Triton's threads block none, and those of libraries, as of an allocator, block all.
Reference: triton-inference-server/server, src/main.cc, ErrorSignalHandler; signal(7).
"""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

_CRASHES = (signal.SIGABRT, signal.SIGSEGV)
_BLOCKED = re.compile(r"^SigBlk:\s*([0-9a-f]+)$", re.MULTILINE)


class CrashHandler:
    """Whether the process `pid` has handled a crash for `longest_s` seconds and still exists.

    It is looked at no more often than that: 140 threads take 4 ms.
    """

    def __init__(self, pid: int, longest_s: float) -> None:
        self._pid, self._longest_s = pid, longest_s
        self._looked = time.monotonic()
        self._since: float | None = None

    def hangs(self) -> str:
        """What to say of it; empty where it does not hang, or not yet for long enough."""
        moment = time.monotonic()
        if self._since is None and moment - self._looked < self._longest_s:
            return ""
        self._looked = moment
        handled = handled_crash(self._pid)
        if handled is None:
            self._since = None
            return ""
        self._since = moment if self._since is None else self._since
        if moment - self._since < self._longest_s:
            return ""
        return f"crashed by signal {handled:d} ({handled.name}) and did not end"


def handled_crash(pid: int) -> signal.Signals | None:
    """The crash that one of the threads of a process handles now; None if there is none."""
    for path in Path(f"/proc/{pid}/task").glob("*/status"):
        try:
            found = _BLOCKED.search(path.read_text())
        except OSError:  # the thread has ended
            continue
        blocked = int(found[1], 16) if found is not None else 0
        for crash in _CRASHES:
            if blocked == 1 << (crash - 1):
                return crash
    return None
