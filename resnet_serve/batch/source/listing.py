"""Listing: the paths of a folder of images, or of a text file with a path on each line.

Paths are bytes, as the file system has them: not every name is UTF-8. A folder is listed in the
order of its names, folder by folder, so that ten million files are never held at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resnet_serve.datasets.image_files import hidden
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import SUFFIXES

STDIN = "-"
_ENDINGS = tuple(each.encode() for each in SUFFIXES)


@dataclass
class Skipped:
    """How many files of a folder are no images by their names; counted while it is listed."""

    files: int = 0


def folder(root: Path, skipped: Skipped) -> Iterator[bytes]:
    """The images below a folder, by their suffix, as paths relative to it; no hidden ones.

    A link to a file is an image, a link to a folder is not followed. Raises `InputFileError` for a
    folder that cannot be read.
    """
    yield from _below(os.fsencode(root), b"", skipped)


def _below(place: bytes, prefix: bytes, skipped: Skipped) -> Iterator[bytes]:
    try:
        with os.scandir(place) as entries:
            found = sorted((each.name, each.is_dir(follow_symlinks=False)) for each in entries)
    except OSError as error:
        raise InputFileError(
            f"cannot be listed ({(error.strerror or '').lower()})", where=os.fsdecode(place)
        ) from error
    for name, is_folder in found:
        if hidden(os.fsdecode(name)):
            continue
        if is_folder:
            yield from _below(place + b"/" + name, prefix + name + b"/", skipped)
        elif name.lower().endswith(_ENDINGS):
            yield prefix + name
        else:
            skipped.files += 1


def lines(source: str) -> Iterator[bytes]:
    """The lines of a text file, or of the standard input, that are not blank.

    Raises `InputFileError` for a file that cannot be read.
    """
    try:
        if source == STDIN:
            yield from filter(None, (_line(each) for each in sys.stdin.buffer))
            return
        with Path(source).open("rb") as file:
            yield from filter(None, (_line(each) for each in file))
    except OSError as error:
        raise InputFileError(
            f"cannot be read ({(error.strerror or '').lower()})", where=source
        ) from error


def _line(raw: bytes) -> bytes:
    text = raw.rstrip(b"\r\n")
    return text if text.strip() else b""
