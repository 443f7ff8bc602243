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

# The thread that handles a signal has it blocked, as this one.
SCRIPT = """
import signal, sys, threading

def handles():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.Signals[sys.argv[1]]})
    print(flush=True)
    threading.Event().wait()

threading.Thread(target=handles).start()
"""


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[int]:
    """A process with a thread that has a signal blocked."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, request.param], stdout=subprocess.PIPE
    ) as started:
        assert started.stdout is not None
        started.stdout.readline()
        yield started.pid
        started.kill()


@pytest.mark.parametrize("process", ["SIGABRT", "SIGSEGV"], indirect=True)
def test_a_thread_in_the_handler_of_a_crash_is_seen(process: int) -> None:
    assert handled_crash(process) in (signal.SIGABRT, signal.SIGSEGV)
    assert CrashHandler(process, 3600).hangs() == "", "not for long enough"
    handler = CrashHandler(process, 0.1)
    assert until(lambda: handler.hangs() != "")
    assert "and did not end" in handler.hangs()


@pytest.mark.parametrize("process", ["SIGTERM"], indirect=True)
def test_other_signals_are_no_crash(process: int) -> None:
    assert handled_crash(process) is None
    assert CrashHandler(process, 0).hangs() == ""


def test_a_process_that_works_or_has_ended_does_not_hang() -> None:
    assert handled_crash(os.getpid()) is None
    assert CrashHandler(2**22 + 1, 0).hangs() == ""
