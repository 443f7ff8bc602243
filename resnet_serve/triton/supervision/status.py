"""Status: what a supervisor tells of its server, in a file that `list`, `down` and metrics read."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

STARTING, SERVING, RESTARTING = "starting", "serving", "restarting"
STOPPED, GAVE_UP = "stopped", "gave up"
GIVING_UP = "giving up: "


@dataclass(frozen=True)
class Status:
    """The state of the server now, and what has happened to it.

    `last` says how it ended the last time and when; `recovery_s` is the time from that end to ready
    again. `reload_s` is the time in which a model was last loaded again. `reason` is why the
    supervisor gave up.
    """

    state: str = STARTING
    server_pid: int = 0
    restarts: int = 0
    last: str = ""
    recovery_s: float | None = None
    check_failures: int = 0
    dead_stubs: int = 0
    reloads: int = 0
    reload_s: float | None = None
    reason: str = ""

    @classmethod
    def read(cls, path: Path) -> Status | None:
        """The status in a file; None where there is none that can be read."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def told(self) -> str:
        """One line for people, empty for a server that was never restarted."""
        if self.state == GAVE_UP:
            return f"given up: {self.reason}"
        if not self.restarts:
            return ""
        times = "once" if self.restarts == 1 else f"{self.restarts} times"
        said = f"restarted {times}; last: {self.last}"
        if self.state == RESTARTING:
            return f"{said}; not ready again yet"
        if self.recovery_s is not None:
            said += f", ready again after {self.recovery_s:.1f} s"
        return said


class StatusFile:
    """The status of one supervisor; every change is written to its file, if it has one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.now = Status()

    def change(self, **values: Any) -> None:
        """Change these fields and write the file, as a whole or not at all."""
        self.now = replace(self.now, **values)
        if self._path is None:
            return
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):  # a full disk must not stop the server
            fresh.write_text(json.dumps(asdict(self.now), indent=2), encoding="utf-8")
            fresh.replace(self._path)
