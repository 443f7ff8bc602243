"""The image that a model of encoded images is asked with: the first example of its served version.

`<version>/examples.npz` is a zip of NumPy arrays (`triton/repository/examples`). It is read by the
standard library alone, because `resnet-serve health` imports no NumPy.
Format: numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

_FILE = "examples.npz"
_LARGEST = 4 * 2**20  # of a request every few seconds
_MAGIC = b"\x93NUMPY"


def image(repository: Path, config: Mapping[str, Any]) -> bytes | None:
    """The first example image of the version that a configuration serves; None where there is none.

    An example that cannot be read is none: what is wrong with the file is for `verify` to say.
    """
    try:
        version = _version(config)
        folder = repository / str(config["name"]).removesuffix("_image") / str(version)
        with zipfile.ZipFile(folder / _FILE) as file:
            with file.open("ends.npy") as ends:
                _skip_header(ends)
                (length,) = struct.unpack("<q", ends.read(8))
            with file.open("images.npy") as images:
                _skip_header(images)
                found = images.read(length) if 0 < length <= _LARGEST else b""
    except (OSError, ValueError, LookupError, TypeError, struct.error, zipfile.BadZipFile):
        return None
    return found if len(found) == length else None


def _version(config: Mapping[str, Any]) -> int:
    """The served version; of a canary the old one."""
    split = (config.get("parameters") or {}).get("canary", {}).get("string_value")
    if split is not None:
        return int(json.loads(split)["old"])
    return int(config["version_policy"]["specific"]["versions"][0])


def _skip_header(array: IO[bytes]) -> None:
    magic = array.read(8)
    if magic[:6] != _MAGIC:
        raise ValueError("not a NumPy array")
    kind = "<H" if magic[6] == 1 else "<I"
    (length,) = struct.unpack(kind, array.read(struct.calcsize(kind)))
    array.read(length)
