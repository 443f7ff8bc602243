"""The shared libraries that a binary needs: read from the binary, found, and loaded.

    ELF dynamic section ─► names ─► what is loaded already, the loader's path, NVIDIA's wheels

NVIDIA's wheels put their libraries where the loader does not look (`nvidia/*/lib`). Loaded from
there before the binary, they are found by it. Reference: ELF-64 Object File Format, "Dynamic
Section".
"""

from __future__ import annotations

import ctypes
import importlib.util
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from resnet_serve.errors import InputFileError

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_LOAD, _DYNAMIC = 1, 2  # kinds of segments
_END, _NEEDED, _STRINGS = 0, 1, 5  # kinds of entries of the dynamic section


def needed(binary: Path) -> tuple[str, ...]:
    """The names of the libraries that a 64-bit ELF file is linked to, in its order.

    Raises `InputFileError` for another file.
    """
    try:
        with binary.open("rb") as file:
            return tuple(_needed(file))
    except (OSError, struct.error, ValueError) as error:
        reason = f"is no shared library that can be read ({error})"
        raise InputFileError(reason, where=binary) from error


def load(names: Iterable[str]) -> dict[str, str]:
    """Load the libraries for everything that is loaded later; the loader's reason where one fails.

    A library may need another one of the list: what failed is tried again after the others.
    """
    failed = dict.fromkeys(names, "")
    while failed:
        found = {name: reason for name in failed if (reason := _load(name)) is not None}
        if len(found) == len(failed):
            return found
        failed = found
    return {}


def _load(name: str) -> str | None:
    """None where it could be loaded, else why not."""
    reason = None
    for place in (name, *_in_wheels(name)):
        try:
            ctypes.CDLL(str(place), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            reason = str(error)
            continue
        return None
    return reason


def _in_wheels(name: str) -> Iterator[Path]:
    spec = importlib.util.find_spec("nvidia")
    for place in [] if spec is None else spec.submodule_search_locations or []:
        yield from sorted(Path(place).glob(f"*/lib/{name}"))


def _needed(file: BinaryIO) -> Iterator[str]:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("no 64-bit ELF header")
    file.seek(32)
    (table,) = struct.unpack("<Q", file.read(8))
    file.seek(54)
    size, count = struct.unpack("<HH", file.read(4))
    segments = []
    for index in range(count):
        file.seek(table + index * size)
        kind, _, offset, address, _, length = struct.unpack("<IIQQQQ", file.read(40))
        segments.append((kind, offset, address, length))
    entries = []
    for kind, offset, _, length in segments:
        if kind == _DYNAMIC:
            file.seek(offset)
            section = file.read(length)
            entries = list(struct.iter_unpack("<qQ", section[: length - length % 16]))
    ends = [index for index, (tag, _) in enumerate(entries) if tag == _END]
    entries = entries[: ends[0]] if ends else entries
    strings = next((value for tag, value in entries if tag == _STRINGS), None)
    if strings is None:
        raise ValueError("no dynamic section")
    starts = [
        offset + strings - address
        for kind, offset, address, length in segments
        if kind == _LOAD and address <= strings < address + length
    ]
    if not starts:
        raise ValueError("its strings are in no segment")
    for tag, value in entries:
        if tag == _NEEDED:
            file.seek(starts[0] + value)
            yield file.read(256).partition(b"\0")[0].decode()
