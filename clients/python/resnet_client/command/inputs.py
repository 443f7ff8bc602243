"""The images on the command line of `resnet-classify`: files, folders, patterns, lists, stdin."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from resnet_client.errors import BadImageError, UsageError
from resnet_serve.preprocessing import SUFFIXES

STDIN = "-"
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


@dataclass
class Inputs:
    """The images with their names, in the order given, the errors, and what was skipped.

    An image is a path, or the bytes from stdin. `skipped` counts files in folders that are not
    images by their suffix; `special` are those that are no regular files, with what they are.
    """

    images: list[tuple[str, Path | bytes]] = field(default_factory=list)
    errors: list[BadImageError] = field(default_factory=list)
    skipped: int = 0
    special: list[tuple[str, str]] = field(default_factory=list)


def collect(arguments: Iterable[str], files_from: str | None = None) -> Inputs:
    """Search every folder (sorted, without hidden files), and read stdin for `-`.

    An argument that names nothing and has *, ? or [ is a pattern, in which ** stands for any
    folders. A FIFO is read where it is named itself, as the shell's <(…). Raises `UsageError` for
    `-` given twice or on a terminal, and for a list that cannot be read; other problems are in
    `errors`.
    """
    found = Inputs()
    read = False
    for argument in arguments:
        if argument == STDIN:
            if read:
                raise UsageError("'-' (stdin) can be given once")
            read = True
            found.images.append(("stdin", _stdin("an image")))
        elif Path(argument).is_dir():
            _search(Path(argument), found)
        elif glob.has_magic(argument) and not os.path.lexists(argument):
            _match(argument, found)
        else:
            found.images.append((argument, Path(argument)))
    if files_from is not None:
        found.images += [(path, Path(path)) for path in _listed(files_from)]
    return found


def _stdin(what: str) -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(f"'-' reads {what} from stdin, but stdin is a terminal")
    return sys.stdin.buffer.read()


def _listed(file: str) -> list[str]:
    try:
        data = _stdin("a list of paths") if file == STDIN else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read ({error.strerror})", where=file) from error
    separator = b"\0" if b"\0" in data else b"\n"
    paths = [os.fsdecode(path.removesuffix(b"\r")) for path in data.split(separator)]
    return [path for path in paths if path]


def _search(folder: Path, found: Inputs) -> None:
    images = []
    for directory, folders, files in os.walk(folder, onerror=lambda e: _unreadable(e, found)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            path = Path(directory, name)
            if path.suffix.lower() not in SUFFIXES:
                found.skipped += 1
            elif (kind := _special(path)) is not None:
                found.special.append((str(path), kind))
            else:
                images.append(path)
    found.images += [(str(path), path) for path in images]
    if not images and not any(error.where == str(folder) for error in found.errors):
        found.errors.append(BadImageError("contains no images", where=str(folder)))


def _match(pattern: str, found: Inputs) -> None:
    matches = glob.glob(pattern, recursive=True)  # noqa: PTH207 - the pattern may be absolute
    paths = [Path(name) for name in sorted(matches)]
    images = []
    for path in paths:
        if (kind := _special(path)) is None:
            images.append((str(path), path))
        elif kind != _KINDS[stat.S_IFDIR]:  # ** matches folders too
            found.special.append((str(path), kind))
    found.images += images
    if not images:
        found.errors.append(BadImageError("matches no file", where=pattern))


def _special(path: Path) -> str | None:
    """What a path is, if not a file; one that cannot be read is reported when it is read."""
    try:
        return _KINDS.get(stat.S_IFMT(path.stat().st_mode))
    except OSError:
        return None


def _unreadable(error: OSError, found: Inputs) -> None:
    found.errors.append(BadImageError(f"cannot read ({error.strerror})", where=error.filename))
