"""CPU time of a server by process, and of the client that measures it, as the kernel counts it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from resnet_serve import Server
from resnet_serve.triton.supervision.health.stubs import Stubs


@dataclass(frozen=True)
class Spent:
    """CPU seconds so far: the server, the backend processes by model, and this process."""

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
        return cls(of_process(pid), models, time.process_time())

    def since(self, before: Spent) -> Spent:
        """What was spent after `before`, by the processes that run now."""
        models = {name: value - before.models[name] for name, value in self.models.items()}
        return Spent(self.server - before.server, models, self.client - before.client)


def of_process(pid: int) -> float:
    """User and system seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
