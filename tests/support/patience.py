"""How long tests wait for what must happen: on a busy machine everything takes many times longer.

A wait ends as soon as its condition holds, so that the bound costs nothing where all is well.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 180.0


def until(condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> bool:
    """Whether `condition` comes true in time."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True
