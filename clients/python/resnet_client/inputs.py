"""What `resnet-classify` is given on its command line, as images: files, folders, and `-`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from resnet_client.errors import BadImageError, UsageError
from resnet_serve.preprocessing import FORMATS

STDIN = "-"


@dataclass
class Inputs:
    """Images by name, in the order given; what is wrong; and how many files were passed over."""

    images: list[tuple[str, Path | bytes]] = field(default_factory=list)
    errors: list[BadImageError] = field(default_factory=list)
    passed_over: int = 0


def collect(arguments: Iterable[str]) -> Inputs:
    """Look into every folder (hidden files aside, sorted) and read stdin for `-`."""
    found = Inputs()
    read = False
    for argument in arguments:
        if argument == STDIN:
            if read:
                raise UsageError("'-' (stdin) can be given once")
            read = True
            found.images.append(("stdin", _stdin()))
        elif Path(argument).is_dir():
            _look_into(Path(argument), found)
        else:
            found.images.append((argument, Path(argument)))
    return found


def _stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("'-' reads an image from stdin, which is a terminal")
    return sys.stdin.buffer.read()


def _look_into(folder: Path, found: Inputs) -> None:
    suffixes = {end for end, kind in Image.registered_extensions().items() if kind in FORMATS}
    images = []
    for directory, folders, files in os.walk(folder, onerror=lambda e: _unreadable(e, found)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            if Path(name).suffix.lower() in suffixes:
                images.append(Path(directory, name))
            else:
                found.passed_over += 1
    found.images += [(str(path), path) for path in images]
    if not images and not any(error.where == str(folder) for error in found.errors):
        found.errors.append(BadImageError("holds no images", where=str(folder)))


def _unreadable(error: OSError, found: Inputs) -> None:
    found.errors.append(BadImageError(f"cannot read ({error.strerror})", where=error.filename))
