"""Near paths: the file or folder that was probably meant by a path that leads nowhere."""

from __future__ import annotations

import difflib
from itertools import islice
from pathlib import Path

_ENTRIES = 1000  # of a folder that are looked at


def near(path: Path) -> Path | None:
    """The existing path that differs from `path` in one similar name; None where there is none.

    None too for a path that exists, or whose folder cannot be listed.
    """
    try:
        if path.exists():
            return None
        there = next(each for each in path.parents if each.is_dir())
        wrong, *rest = path.relative_to(there).parts
        names = [each.name for each in islice(there.iterdir(), _ENTRIES)]
    except (OSError, ValueError, StopIteration):
        return None
    alike = difflib.get_close_matches(wrong, names, n=3, cutoff=0.7)
    found = (there.joinpath(name, *rest) for name in alike)
    return next((each for each in found if _exists(each)), None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
