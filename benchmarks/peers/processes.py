"""The processes of a peer: started, found again whatever their parent is, measured, and ended.

Every process of a server inherits a variable that is this start's own, so that daemons, forked
workers and processes in sessions of their own are counted and ended too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from resnet_serve.errors import HostError

MARK = "PEER_START"
PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Started:
    """A server that was started with `command`; `log` has what it printed."""

    command: list[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        environment = {**self.environment, MARK: self.token}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def check(self) -> None:
        """Raise `HostError` with the end of its log where it has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise HostError(f"it ended with {self._process.returncode}: {self.last_words()}")

    def last_words(self, characters: int = 1500) -> str:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-characters:]

    def pids(self) -> list[int]:
        """Its processes that run now."""
        wanted = f"{MARK}={self.token}".encode()
        found = []
        for entry in PROC.iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    if wanted in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def pause(self) -> None:
        """Stop its processes until `resume`: an idle server takes nothing from another one."""
        paused: set[int] = set()
        while left := set(self.pids()) - paused:  # those that were started meanwhile
            self._signal(left, signal.SIGSTOP)
            paused |= left

    def resume(self) -> None:
        """Let its processes go on."""
        self._signal(self.pids(), signal.SIGCONT)

    @staticmethod
    def _signal(pids: Iterable[int], which: signal.Signals) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, which)

    def cpu_s(self) -> dict[int, float]:
        """CPU seconds so far of each of its processes, with its children that ended."""
        spent = {}
        for pid in self.pids():
            with suppress(OSError):
                text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
                fields = text.rpartition(")")[2].split()
                spent[pid] = sum(map(int, fields[11:15])) / _TICKS
        return spent

    def pss_mib(self) -> float:
        """The memory of its processes in MiB: what several share is divided among them (PSS)."""
        total = 0
        for pid in self.pids():
            with suppress(OSError):
                text = (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii")
                total += int(text.partition("\nPss:")[2].split(maxsplit=1)[0])
        return total / 1024

    def end(self, patience_s: float = 10) -> None:
        """End all of them: asked at first, then not."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        self.resume()
        until = time.monotonic() + patience_s
        while self.pids() and time.monotonic() < until:
            self._process.poll()
            time.sleep(0.1)
        for _ in range(50):
            left = self.pids()
            if not left:
                break
            self._signal(left, signal.SIGKILL)
            self._process.poll()
            time.sleep(0.1)
        self._process.wait(10)


def spent_s(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """CPU seconds between two readings; a process that ended meanwhile is left out."""
    return sum(now - before.get(pid, 0.0) for pid, now in after.items())


def host_cpu_s() -> float:
    """CPU seconds that all cores of this host were busy, or taken from it, since it started."""
    line = (PROC / "stat").read_text(encoding="ascii").splitlines()[0]
    user, nice, system, _, _, *interrupts_and_steal = map(int, line.split()[1:9])
    return (user + nice + system + sum(interrupts_and_steal)) / _TICKS
