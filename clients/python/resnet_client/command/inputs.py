"""The images on the command line of `resnet-classify`: files, folders, and `-` for stdin."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from resnet_client.errors import BadImageError, UsageError
from resnet_serve.preprocessing import SUFFIXES

STDIN = "-"


@dataclass
class Inputs:
    """The images with their names, in the order given, the errors, and the count of skipped files.

    An image is a path, or the bytes from stdin. `skipped` counts files in folders that are not
    images by their suffix.
    """

    images: list[tuple[str, Path | bytes]] = field(default_factory=list)
    errors: list[BadImageError] = field(default_factory=list)
    skipped: int = 0


def collect(arguments: Iterable[str]) -> Inputs:
    """Search every folder (sorted, without hidden files), and read stdin for `-`.

    Raises `UsageError` for `-` given twice or on a terminal; other problems are in `errors`.
    """
    found = Inputs()
    read = False
    for argument in arguments:
        if argument == STDIN:
            if read:
                raise UsageError("'-' (stdin) can be given once")
            read = True
            found.images.append(("stdin", _stdin()))
        elif Path(argument).is_dir():
            _search(Path(argument), found)
        else:
            found.images.append((argument, Path(argument)))
    return found


def _stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("'-' reads an image from stdin, but stdin is a terminal")
    return sys.stdin.buffer.read()


def _search(folder: Path, found: Inputs) -> None:
    images = []
    for directory, folders, files in os.walk(folder, onerror=lambda e: _unreadable(e, found)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            if Path(name).suffix.lower() in SUFFIXES:
                images.append(Path(directory, name))
            else:
                found.skipped += 1
    found.images += [(str(path), path) for path in images]
    if not images and not any(error.where == str(folder) for error in found.errors):
        found.errors.append(BadImageError("contains no images", where=str(folder)))


def _unreadable(error: OSError, found: Inputs) -> None:
    found.errors.append(BadImageError(f"cannot read ({error.strerror})", where=error.filename))
