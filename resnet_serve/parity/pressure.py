"""Pressure: for how much of a measurement tasks of this host waited for a CPU.

Linux counts it (PSI, /proc/pressure/cpu): "some" is the time in which at least one runnable task
had no CPU. Times that were measured meanwhile say more about the other tasks than about a model.
Reference: Documentation/accounting/psi.rst of the kernel.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

FILE = Path("/proc/pressure/cpu")


@dataclass(frozen=True)
class Reading:
    """A moment, and the microseconds of waiting since the host started; None where not counted."""

    moment_s: float
    waited_us: int | None

    def share_since(self, before: Reading) -> float | None:
        """The share of the time since another reading, 0 to 1; None where it is not counted."""
        elapsed = self.moment_s - before.moment_s
        if self.waited_us is None or before.waited_us is None or elapsed <= 0:
            return None
        return max(0.0, min(1.0, (self.waited_us - before.waited_us) / 1e6 / elapsed))


def read(file: Path = FILE) -> Reading:
    """Read the counter of this host; without one on other systems, and in some containers."""
    moment = time.perf_counter()
    try:
        found = re.search(r"^some .*total=(\d+)$", file.read_text(encoding="ascii"), re.MULTILINE)
    except (OSError, ValueError):
        found = None
    return Reading(moment, None if found is None else int(found.group(1)))
