"""The user's cache: a folder for files that can be fetched or made again.

    $XDG_CACHE_HOME, else ~/.cache            every program's
    $XDG_CACHE_HOME/resnet-serve              ours: perf_analyzer, timing caches of engine builds

Reference: XDG Base Directory Specification, `$XDG_CACHE_HOME`.
"""

from __future__ import annotations

import os
from pathlib import Path


def cache_home() -> Path:
    """The folder of every program's cache; unset or empty, XDG_CACHE_HOME is `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def user_cache() -> Path:
    """The folder of this toolkit's cache. It is not created, and may not exist."""
    return cache_home() / "resnet-serve"
