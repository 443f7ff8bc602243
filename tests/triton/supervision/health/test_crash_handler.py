"""A process in its handler of a crash, told from one that is not, and one that stays there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from patience import until

from resnet_serve.triton.supervision.health.crash_handler import CrashHandler, handled_crash

# A handler in C that does not return, as of a crash within the allocator.
CRASHES = """
import ctypes, os, signal, sys

libc = ctypes.CDLL(None)
libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
crash = signal.Signals[sys.argv[1]]
libc.signal(crash, ctypes.cast(libc.pause, ctypes.c_void_p))
print(flush=True)
os.abort() if crash == signal.SIGABRT else os.kill(os.getpid(), crash)
"""
# A thread of a library that has signals blocked.
BLOCKS = """
import signal, sys, threading

def blocks():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.Signals[word] for word in sys.argv[1:]})
    print(flush=True)
    threading.Event().wait()

threading.Thread(target=blocks).start()
"""


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[int]:
    """A process that runs a script with signals."""
    script, *words = request.param
    with subprocess.Popen(
        [sys.executable, "-c", script, *words], stdout=subprocess.PIPE
    ) as started:
        assert started.stdout is not None
        started.stdout.readline()
        yield started.pid
        started.kill()


@pytest.mark.parametrize("process", [(CRASHES, "SIGABRT"), (CRASHES, "SIGSEGV")], indirect=True)
def test_a_thread_in_the_handler_of_a_crash_is_seen(process: int) -> None:
    assert until(lambda: handled_crash(process) in (signal.SIGABRT, signal.SIGSEGV))
    assert CrashHandler(process, 3600).hangs() == "", "not for long enough"
    handler = CrashHandler(process, 0.1)
    assert until(lambda: handler.hangs() != "")
    assert "and did not end" in handler.hangs()


@pytest.mark.parametrize(
    "process", [(BLOCKS, "SIGTERM"), (BLOCKS, "SIGABRT", "SIGSEGV", "SIGTERM")], indirect=True
)
def test_other_signals_are_no_crash(process: int) -> None:
    assert handled_crash(process) is None
    assert CrashHandler(process, 0).hangs() == ""


def test_a_process_that_works_or_has_ended_does_not_hang() -> None:
    assert handled_crash(os.getpid()) is None
    assert CrashHandler(2**22 + 1, 0).hangs() == ""
