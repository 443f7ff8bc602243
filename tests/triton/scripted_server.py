"""The real supervisor of a server that a script plays."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from patience import PATIENCE_S, until

from resnet_serve.triton.supervision.orders import Policy
from resnet_serve.triton.supervision.status import Status

SCRIPT = Path(__file__).with_name("supervision") / "serving_script.py"
# Every crash is a quick one, however long the host takes to get there.
QUICK = Policy(first_delay_s=0.05, quick_s=PATIENCE_S, most_quick=3, check_s=0.1)


@dataclass(frozen=True)
class Supervised:
    """A supervisor and the server that it keeps."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def status(self) -> Status:
        return Status.read(self.folder / "status.json") or Status()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def starts(self) -> list[int]:
        """The process ids of the servers so far."""
        return [int(line) for line in (self.folder / "starts").read_text().split()]

    def becomes(self, state: str, restarts: int = 0) -> bool:
        return until(lambda: (self.status.state, self.status.restarts) == (state, restarts))

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE_S)


Start = Callable[..., Supervised]
