"""Archive: the files that `torch.save` and `pickle` write, read as data.

    zip       archive/data.pkl, archive/data/<key> (since PyTorch 1.6)
    legacy    four pickles (magic number, version, system, object), the keys, then the storages
    pickle    one pickle, in which each storage is a legacy file of its own

The format is that of torch's `torch/serialization.py`.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any

from resnet_serve.checkpoints.pickles.machine import Global, Machine, PickleError
from resnet_serve.checkpoints.pickles.rebuilt import Storage, called, dtypes

_MAGIC = 0x1950A86A20F9469CFC6C
_OBJECT = "data.pkl"
_FROM_BYTES = "torch.storage._load_from_bytes"
_DEEPEST = 2  # a storage in a pickle is a file in a file


@dataclass(frozen=True)
class Archive:
    """The object in a file, with views for tensors, and the names that its pickle looks up."""

    loaded: object
    globals: tuple[str, ...] = field(default=())


def read(path: Path) -> Archive:
    """The object of a file; raises `PickleError` for one that is damaged or no such file."""
    try:
        if zipfile.is_zipfile(path):
            return _zipped(path)
        return _plain(io.BytesIO(path.read_bytes()), 0)
    except PickleError:
        raise
    except (OSError, ValueError, zipfile.BadZipFile, struct.error, RuntimeError) as error:
        raise PickleError(f"it is damaged ({error})") from error


def _zipped(path: Path) -> Archive:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.rpartition("/")[2] == _OBJECT]
        if len(names) != 1:
            raise PickleError(f"it has no {_OBJECT}")
        folder = names[0].removesuffix(_OBJECT)
        order = f"{folder}byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise PickleError("its numbers are big-endian")
        data = io.BytesIO(archive.read(names[0]))

    @cache
    def stored(key: str) -> bytearray:
        """The bytes of a storage, read once."""
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(f"{folder}data/{key}")
            if info.compress_type != zipfile.ZIP_STORED:
                raise PickleError("its storages are compressed")
            return bytearray(archive.read(info))

    def read_storage(key: str) -> bytearray:
        """The same; raises `PickleError` for a storage that is not there or damaged."""
        try:
            return stored(key)
        except (KeyError, zipfile.BadZipFile) as error:
            raise PickleError(f"it lacks the storage {key}") from error

    machine = Machine(called, _persistent(lambda key: lambda: read_storage(key)))
    return Archive(machine.run(data), tuple(machine.globals))


def _plain(data: IO[bytes], depth: int) -> Archive:
    names: list[str] = []
    storages: dict[str, bytearray] = {}

    def stored(key: str) -> Callable[[], bytearray]:
        """How to read a storage, whose bytes come after the object that refers to it."""

        def read_storage() -> bytearray:
            """The bytes of the storage; raises `PickleError` where the file has none."""
            if key not in storages:
                raise PickleError(f"it lacks the storage {key}")
            return storages[key]

        kinds.setdefault(key, None)
        return read_storage

    kinds: dict[str, str | None] = {}

    def with_storages(name: str, arguments: tuple[object, ...]) -> object:
        """The result of a call, of which a storage in bytes is a file of its own."""
        if name == _FROM_BYTES and depth < _DEEPEST:
            (content,) = arguments
            if not isinstance(content, bytes):
                raise PickleError("it is damaged (a storage without bytes)")
            return _plain(io.BytesIO(content), depth + 1).loaded
        return called(name, arguments)

    def one() -> object:
        """The object of the next pickle in the file."""
        machine = Machine(with_storages, _persistent(stored, kinds))
        found = machine.run(data)
        names.extend(machine.globals)
        return found

    first = one()
    if first != _MAGIC:
        return Archive(first, tuple(names))
    one(), one()
    loaded = one()
    keys: Any = one()
    for key in keys if isinstance(keys, list) else ():
        kind = dtypes().get(kinds.get(str(key)) or "")
        (count,) = struct.unpack("<q", data.read(8))
        size = count * (1 if kind is None else kind.itemsize)
        content = data.read(max(size, 0))
        if len(content) != size:
            raise PickleError("it is truncated")
        storages[str(key)] = bytearray(content)
    return Archive(loaded, tuple(names))


def _persistent(
    stored: Callable[[str], Callable[[], bytearray]], kinds: dict[str, str | None] | None = None
) -> Callable[[object], object]:
    """What a persistent id means: a storage, or the class of a module with its source."""

    def found(key: object) -> object:
        """The storage of a persistent id; raises `PickleError` for one that is malformed."""
        if not (isinstance(key, tuple) and len(key) > 2 and isinstance(key[1], Global)):
            raise PickleError("it is damaged (a persistent id)")
        if key[0] == "module":
            return key[1]
        name = key[1].name
        untyped = name.rpartition(".")[2] in ("UntypedStorage", "TypedStorage", "_UntypedStorage")
        kind = None if untyped else name
        read_storage = stored(str(key[2]))
        if kinds is not None:
            kinds[str(key[2])] = kind
        if len(key) > 5 and key[5] is not None:
            raise PickleError("it has storages inside others, of a PyTorch before 0.4")
        return Storage(kind, read_storage)

    return found
