"""CPU time of a server by process, and of the client that measures it, as the kernel counts it."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

from resnet_serve import Server
from resnet_serve.triton.supervision.health.stubs import Stubs


@dataclass(frozen=True)
class Spent:
    """CPU seconds so far: the server `pid`, the backend processes by model, and this process.

    Not a number where the server has ended or was restarted.
    """

    pid: int
    server: float
    models: dict[str, float]
    client: float

    @classmethod
    def now(cls, server: Server) -> Spent:
        """Read them."""
        pid = server.status.server_pid
        found = Stubs(pid)
        found.refresh()
        models: dict[str, float] = {}
        for stub in found.alive:
            models[stub.model] = models.get(stub.model, 0.0) + of_process(stub.pid)
        found.close()
        return cls(pid, of_process(pid), models, time.process_time())

    def since(self, before: Spent) -> Spent:
        """What was spent after `before`."""
        same = self.pid == before.pid
        models = {
            name: self.models[name] - value if same and name in self.models else math.nan
            for name, value in before.models.items()
        }
        server = self.server - before.server if same else math.nan
        return Spent(self.pid, server, models, self.client - before.client)


def of_process(pid: int) -> float:
    """User and system seconds of a process so far; not a number where it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return math.nan
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
