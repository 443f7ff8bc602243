"""The backend processes ("stubs") of a server: which models they serve, and which have died.

A Python-based backend runs every instance of a model in a process of its own. Triton 2.51 does not
replace one that dies: it stays a zombie, the model stays ready, and its requests fail. A stub that
Triton ends itself is waited for, and is no zombie for long.

    triton_python_backend_stub REPOSITORY/MODEL/VERSION/FILE SHM … INSTANCE BACKEND
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

PROGRAM = "triton_python_backend_stub"
# Between the end of a stub and the moment when its server has waited for it.
SETTLING_S = 0.5
_COMM_LENGTH = 15


@dataclass(frozen=True)
class Stub:
    """One backend process; `instance` is Triton's name for it, as `resnet50_0_0`."""

    pid: int
    model: str
    instance: str


class Stubs:
    """The stubs of one server; `refresh` looks for new ones."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._found: dict[int, Stub] = {}
        self._watched: dict[int, int] = {}  # file descriptor of the process, process id
        self._ended_at: dict[int, float] = {}
        self._reported: set[int] = set()

    @property
    def alive(self) -> tuple[Stub, ...]:
        """Those that were running at the last look, by process id."""
        ended = self._ended_at
        return tuple(stub for pid, stub in sorted(self._found.items()) if pid not in ended)

    @property
    def descriptors(self) -> list[int]:
        """Readable for `select` as soon as a stub ends."""
        return list(self._watched)

    def refresh(self) -> None:
        """Look for the stubs that the server has started since, and forget those that are gone."""
        for pid in children(self._server):
            if pid not in self._found and (stub := stub_of(pid)) is not None:
                self._found[pid] = stub
                with contextlib.suppress(OSError):
                    self._watched[os.pidfd_open(pid)] = pid

    def dead(self) -> tuple[Stub, ...]:
        """The stubs that died since the last call: ended, and not waited for by the server."""
        for descriptor in [each for each, pid in self._watched.items() if _state(pid) in "ZX-"]:
            os.close(descriptor)
            del self._watched[descriptor]
        dead = []
        for pid, stub in list(self._found.items()):
            state = _state(pid)
            if state == "-":
                del self._found[pid]
                self._ended_at.pop(pid, None)
            elif state == "Z" and pid not in self._reported:
                ended_at = self._ended_at.setdefault(pid, time.monotonic())
                if time.monotonic() - ended_at >= SETTLING_S:
                    self._reported.add(pid)
                    dead.append(stub)
        return tuple(dead)

    @property
    def settling(self) -> bool:
        """Whether a stub has just ended, and `dead` should be asked again soon."""
        return any(pid not in self._reported for pid in self._ended_at)

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in self._watched:
            os.close(descriptor)
        self._watched.clear()


class Loading:
    """Looks whether a server that is not ready yet has seen that a stub died.

    Triton 2.51 waits for ever for the first message of a stub, and while it completes a
    configuration; later it asks whether the stub lives.
    """

    def __init__(self, server: int, longest_s: float) -> None:
        self._server = server
        self._longest_s = longest_s
        self._since: dict[int, float] = {}

    def unnoticed(self) -> str:
        """What has died and was not waited for until now, for too long; empty if nothing has."""
        moment = time.monotonic()
        ended = [pid for pid in children(self._server) if _is_dead_stub(pid)]
        self._since = {pid: self._since.get(pid, moment) for pid in ended}
        if all(moment - since < self._longest_s for since in self._since.values()):
            return ""
        return "a backend process has died while it loaded"


def children(pid: int) -> list[int]:
    """The child processes of all threads of a process."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in path.read_text().split()]
    return found


def stub_of(pid: int) -> Stub | None:
    """What a process's command line says of the model it serves; None for another program."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    words = [os.fsdecode(word) for word in command[:-1]]
    if len(words) < 4 or Path(words[0]).name != PROGRAM:
        return None
    return Stub(pid, Path(words[1]).parts[-3], words[-2])


def _is_dead_stub(pid: int) -> bool:
    """A process that has ended has no command line any more, but the beginning of its name."""
    with contextlib.suppress(OSError):
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        return _state(pid) == "Z" and name == PROGRAM[:_COMM_LENGTH]
    return False


def _state(pid: int) -> str:
    """The state letter of /proc/PID/stat; `-` when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "-"
