"""Image files: which files of a folder are taken as images, by suffix, and why the others are not.

Files that are skipped are counted by reason and named, as far as one sentence holds them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_serve.preprocessing import SUFFIXES

# Photographs that are not decoded.
HEIC_SUFFIXES = (".heic", ".heif")
RAW_SUFFIXES = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2")
OTHER_IMAGE_SUFFIXES = (".jp2", ".jxl", ".psd", ".svg")
# Folders that archives and file systems make beside the user's.
_OF_SYSTEMS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found", "System Volume Information")
NAMES_SHOWN = 3


@dataclass(frozen=True)
class Reason:
    """Why a file is skipped: the first one that applies; `text` follows the count of files."""

    text: str
    applies: Callable[[Path], bool]
    remedy: str | None = None


REASONS = (
    Reason("hidden", lambda path: hidden(path.name)),
    Reason("in folders that are too deep", Path.is_dir),
    Reason(
        "HEIC",
        lambda path: path.suffix.lower() in HEIC_SUFFIXES,
        "convert to JPEG or PNG, for example: heif-convert photo.heic photo.jpg",
    ),
    Reason(
        "raw photographs",
        lambda path: path.suffix.lower() in RAW_SUFFIXES,
        "convert to JPEG or PNG",
    ),
    Reason("broken links or no regular files", lambda path: not path.is_file()),
    Reason(
        "without the suffix of an image that is decoded",
        lambda path: path.suffix.lower() not in SUFFIXES,
    ),
    Reason("outside the class folders, or not listed", lambda _: True),
)


def taken(path: Path) -> bool:
    """Whether a file is an image by its suffix."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def skipped_images(skipped: Sequence[Path]) -> int:
    """How many images there are among what was skipped, decoded formats or not; no hidden ones."""
    return sum(map(_images_at, skipped))


def by_reason(skipped: Sequence[Path]) -> dict[Reason, tuple[Path, ...]]:
    """The skipped files and folders of each reason, in the order of `REASONS`."""
    found: dict[Reason, list[Path]] = {reason: [] for reason in REASONS}
    for path in skipped:
        found[next(reason for reason in REASONS if reason.applies(path))].append(path)
    return {reason: tuple(paths) for reason, paths in found.items() if paths}


def skipped_text(folder: str, skipped: Sequence[Path]) -> str:
    """The skipped files of a folder by reason, with their first names, as one clause."""
    return "; ".join(_clauses(folder, skipped))


def _clauses(folder: str, skipped: Sequence[Path]) -> Iterator[str]:
    for reason, paths in by_reason(skipped).items():
        names = [str(path).removeprefix(f"{folder}/") for path in paths[:NAMES_SHOWN]]
        more = len(paths) - len(names)
        shown = ", ".join(names) + (f" and {more:,} more" if more else "")
        remedy = "" if reason.remedy is None else f", {reason.remedy}"
        yield f"{len(paths):,} {reason.text} ({shown}){remedy}"


def _images_at(path: Path) -> int:
    if path.is_dir():
        names = [name for _, _, files in os.walk(path) for name in files]
    else:
        names = [path.name]
    return 0 if hidden(path.name) else sum(map(_named_as_image, names))


def _named_as_image(name: str) -> bool:
    known = (*SUFFIXES, *HEIC_SUFFIXES, *RAW_SUFFIXES, *OTHER_IMAGE_SUFFIXES)
    return not hidden(name) and name.lower().endswith(known)


def hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or is what a system keeps for itself."""
    return name.startswith(".") or name in _OF_SYSTEMS
