"""What one worker makes and the others take: files that live as long as one run of the suite."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kept import kept

FOLDER = "RESNET_SERVE_TESTS_FOLDER"
Made = TypeVar("Made")


def folder() -> Path:
    """Where the workers of this run keep what they share."""
    return Path(os.environ[FOLDER])


def made_once(kind: str, key: str, make: Callable[[], Made]) -> Made:
    """What `make` returns, pickled under its kind and key; a worker waits for the one that makes
    it. Every caller gets a copy of its own.
    """

    def write(place: Path) -> None:
        (place / "made").write_bytes(pickle.dumps(make()))

    found = kept(folder() / kind / key, "of-this-run", write)
    made: Made = pickle.loads((found / "made").read_bytes())
    return made
