"""Becomes tritonserver: a program of its own, so that nothing runs between fork and exec.

The kernel sends SIGTERM to the server when its supervisor dies. The limit of open files is raised
as far as this process may, because every connection is one.

    python -I -S launch.py PARENT_PID COMMAND ARGUMENT…
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys

MOST_FILES = 1_048_576
CANNOT_HIDE, CANNOT_START = 126, 127
VARIABLE = "RESNET_SERVE_ARGUMENT_"  # with a number: the true argument at that place
_PR_SET_PDEATHSIG = 1
_PTRACE_TRACEME = 0


def main() -> None:
    """Replace this process by the command; exits with `CANNOT_START` where that fails."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(CANNOT_START)
    raise_file_limit()
    if any(name.startswith(VARIABLE) for name in os.environ) and not _traced():
        sys.exit(CANNOT_HIDE)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the command is the supervisor's
    except OSError as error:
        sys.stderr.write(f"error: cannot start {command[0]}: {error}\n")
        sys.exit(CANNOT_START)


def _traced() -> bool:
    """Ask the supervisor to give the arguments (`secret_arguments`) when the command starts."""
    return bool(ctypes.CDLL(None).ptrace(*map(ctypes.c_long, (_PTRACE_TRACEME, 0, 0, 0))) == 0)


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one, or to `MOST_FILES` if that is less."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    main()
