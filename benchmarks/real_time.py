"""Run the client of a benchmark before the server whose cores it shares.

On the cores of a busy server a client waits longer for a core than for the server, and measures
itself: at three times the capacity of a small network its requests took seconds of which the server
had 20 ms. As the client of a machine of its own it would not wait. In real time its threads run
before all others; they take what they need of the cores from the server, no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def real_time() -> Iterator[bool]:
    """This process's threads run before those of others; False where the system does not let it.

    Nothing may be started meanwhile that is to be measured: it would inherit that.
    """
    try:
        _schedule(os.SCHED_RR, 1)
        allowed = True
    except PermissionError:
        allowed = False
    try:
        yield allowed
    finally:
        _schedule(os.SCHED_OTHER, 0)


def _schedule(policy: int, priority: int) -> None:
    for thread in Path("/proc/self/task").iterdir():
        try:
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))
        except ProcessLookupError:  # it has just ended
            continue
