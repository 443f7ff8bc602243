"""The functions that a pickle would call, read from its bytes without running it.

A pickle is a program (Python's `pickletools`): GLOBAL and STACK_GLOBAL name the functions and
classes that it needs. Tensors need a few of them; all others are code.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

NAMED = 10
_LONGEST_NAME = 80
_HARMLESS = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.Size|torch\.\w+Storage"
    r"|torch(\.storage)?\.(Typed|Untyped)Storage|torch\.(b?float|u?int|complex|bool)\d*"
    r"|torch\.float8_\w+|torch\.device|torch\.serialization\._get_layout|_codecs\.encode"
    r"|(__builtin__|builtins)\.(set|frozenset|bytes|bytearray|dict|list|tuple)"
)
_STRINGS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}


def is_pickle(path: Path) -> bool:
    """Whether a file looks like what `torch.save` or `pickle` writes."""
    with path.open("rb") as file:
        return zipfile.is_zipfile(path) or file.read(1) == pickle.PROTO


def needed(path: Path) -> tuple[str, ...]:
    """The globals that a checkpoint needs beyond those of tensors, sorted.

    For a damaged file those before the damage.
    """
    found: set[str] = set()
    try:
        for data in _pickles(path):
            for name in _globals(data):
                if not is_harmless(name):
                    found.add(printable(name))
    except (OSError, ValueError, LookupError, zipfile.BadZipFile, RuntimeError):
        pass  # those found before the damage are still reported
    return tuple(sorted(found))


def is_harmless(name: str) -> bool:
    """Whether a global is one of those that plain tensors need."""
    return _HARMLESS.fullmatch(name) is not None


def _pickles(path: Path) -> Iterator[IO[bytes]]:
    """The pickles in a zip archive, or those at the start of a plain file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".pkl"):
                    yield io.BytesIO(archive.read(name))
        return
    with path.open("rb") as file:
        while file.peek(1)[:1] == pickle.PROTO:
            yield file  # a legacy checkpoint has several, one after another


def _globals(data: IO[bytes]) -> Iterator[str]:
    strings: list[str] = []
    memo: dict[object, str] = {}
    previous: str | None = None
    for opcode, argument, _ in pickletools.genops(data):
        text: str | None = None
        if opcode.name in _STRINGS:
            text = str(argument)
            strings.append(text)
        elif opcode.name == "MEMOIZE" and previous is not None:
            memo[len(memo)] = previous
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = ""
        elif opcode.name in ("BINPUT", "LONG_BINPUT", "PUT") and previous is not None:
            memo[argument] = previous
        elif opcode.name in ("BINGET", "LONG_BINGET", "GET") and argument in memo:
            text = memo[argument]
            strings.append(text)
        elif opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL" and len(strings) > 1:
            yield ".".join(strings[-2:])
        if opcode.name not in ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"):
            previous = text


def printable(name: str) -> str:
    """A name from an untrusted file, safe to print on one line."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[:_LONGEST_NAME]}…"
