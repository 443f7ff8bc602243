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
    found = _find(r"total=(\d+)$", file)
    return Reading(moment, None if found is None else int(found))


def lately(file: Path = FILE) -> float | None:
    """The share of the last ten seconds, 0 to 1; None where it is not counted.

    For what loads the CPUs itself: asked before it begins, this is of the other tasks.
    """
    found = _find(r"avg10=([\d.]+)", file)
    return None if found is None else min(1.0, float(found) / 100)


def _find(pattern: str, file: Path) -> str | None:
    """The group of the pattern in the line of "some"."""
    try:
        found = re.search(rf"^some .*?{pattern}", file.read_text(encoding="ascii"), re.MULTILINE)
    except (OSError, ValueError):
        return None
    return None if found is None else found.group(1)
