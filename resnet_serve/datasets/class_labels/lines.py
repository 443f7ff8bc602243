"""Text files of class names: one per line, or numbered lines, or one of both refused.

    cat          0 cat       0: cat       cat 0
    dog          1 dog       1: dog       dog 1

Lines are numbered where every line has a number, the numbers are exactly 0 … n-1, and the names are
distinct without them. "class 0" … "class 9" are therefore names, as are "7-up" and "3D printer".
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_serve.datasets.class_labels.numbers import AS_A_LIST, complete, in_order
from resnet_serve.errors import InputFileError

_FIRST = re.compile(r"[(\[#]?([0-9]{1,9})(\s*(?:[-=]>|[:=,;\t)\]|])\s*|\.\s+|\s+-\s+|\s+)(\S.*)")
_LAST = re.compile(r"(.*?\S)(\s*(?:[-=]>|[:=,;\t|])\s*|\s+)([0-9]{1,9})")
_OTHER_KINDS = (
    (re.compile(r"<(!doctype|html|\?xml)", re.IGNORECASE), "is a web page or XML"),
    (re.compile(r"item\s*\{"), "is a label map of TensorFlow"),
    (re.compile(r"(#|//)\s"), "begins with a comment"),
    (re.compile(r"\w+\s*=\s*[\[({]"), "is program text"),
)


@dataclass(frozen=True)
class _Numbered:
    """A line's number, its name, and what is between them."""

    number: int
    name: str
    separator: str


def names_of(lines: Sequence[str], path: Path) -> list[str]:
    """The names in stripped lines; raises `InputFileError` where their order is not certain."""
    for pattern, what in _OTHER_KINDS:
        if lines and pattern.match(lines[0]):
            raise InputFileError(f"{what}, not a list of names", where=path, remedy=AS_A_LIST)
    if all(re.fullmatch(r"""("[^"]+"|'[^']+')""", line) for line in lines):
        return [line[1:-1] for line in lines]
    if len(lines) > 1 and all(line.endswith(",") for line in lines[:-1]):
        raise InputFileError("has commas at the ends of the lines", where=path, remedy=AS_A_LIST)
    first, last = _numbered(lines, _first), _numbered(lines, _last)
    if len(first) == len(lines) > 1 and (in_first := _decided(lines, first, path)) is not None:
        return in_first
    if len(last) == len(lines) > 1 and (in_last := _decided(lines, last, path)) is not None:
        return in_last
    if _has_title(lines, first) or _has_title(lines, last):
        raise InputFileError(
            f"every line has a number but the first, {lines[0]!r}",
            where=path,
            remedy=f"Remove it if it is a title. Or: {AS_A_LIST}",
        )
    marked = [each for each in first.values() if each.separator]
    if len(lines) > len(marked) > len(lines) / 2:
        odd = next(at for at in range(len(lines)) if at not in first or not first[at].separator)
        raise InputFileError(
            f"line {odd + 1} is not numbered as the others are: {lines[odd]!r}",
            where=path,
            remedy=AS_A_LIST,
        )
    return list(lines)


def _has_title(lines: Sequence[str], found: dict[int, _Numbered]) -> bool:
    """Whether all lines but the first are numbered, with distinct names."""
    return (
        len(found) == len(lines) - 1 > 1
        and 0 not in found
        and complete(each.number for each in found.values())
        and len({each.name for each in found.values()}) == len(found)
    )


def _numbered(
    lines: Sequence[str], read: Callable[[str], _Numbered | None]
) -> dict[int, _Numbered]:
    """What is read of each line that has a number, by its position."""
    found = ((at, read(line)) for at, line in enumerate(lines))
    return {at: each for at, each in found if each is not None}


def _first(line: str) -> _Numbered | None:
    match = _FIRST.fullmatch(line)
    if match is None:
        return None
    name, separator = match[3], match[2].strip(" ")
    return _Numbered(int(match[1]), _unquoted(name, separator), separator)


def _last(line: str) -> _Numbered | None:
    match = _LAST.fullmatch(line)
    if match is None:
        return None
    separator = match[2].strip(" ")
    return _Numbered(int(match[3]), _unquoted(match[1], separator), separator)


def _unquoted(name: str, separator: str) -> str:
    """A quoted name of a line that is CSV, without its quotes."""
    if separator and name.startswith('"') and name.endswith('"'):
        cells = next(csv.reader([name]))
        return cells[0] if len(cells) == 1 else name
    return name


def _decided(lines: Sequence[str], found: dict[int, _Numbered], path: Path) -> list[str] | None:
    """The names of lines that all have a number; None where the numbers belong to the names."""
    numbers = [found[at].number for at in range(len(lines))]
    names = [found[at].name for at in range(len(lines))]
    distinct = len(set(names)) == len(names)
    marked = all(found[at].separator for at in range(len(lines)))
    if len(set(names)) == 1:
        return None
    if complete(numbers):
        if distinct or marked:
            return in_order(zip(numbers, names, strict=True), path)
        if numbers == sorted(numbers):  # the same order, numbered or not
            return None
        raise InputFileError(
            f"has numbers in every line, in another order than the lines: {lines[0]!r} comes first",
            where=path,
            remedy=AS_A_LIST,
        )
    if marked or (distinct and sorted(numbers) == list(range(1, len(numbers) + 1))):
        return in_order(zip(numbers, names, strict=True), path)
    return None
