"""Images: the bytes of one input, or the failure that it has instead.

A file is bounded by the limits of the preprocessing before it is read, and must be a regular file:
reading a pipe would never end.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from resnet_serve.batch.failures import Failure, Kind, of_decoding
from resnet_serve.preprocessing import ImageError, Limits
from resnet_serve.preprocessing.limits import check_file_size


def read(path: bytes | None, root: Path, limits: Limits) -> bytes | Failure:
    """The bytes of a file; a relative path is below `root`. None is a path that is not given."""
    if not path:
        return Failure(Kind.MISSING, "no path is given")
    try:
        place = os.path.join(os.fsencode(root), path)  # noqa: PTH118 - of bytes
        found = os.stat(place)  # noqa: PTH116
        if not stat.S_ISREG(found.st_mode):
            return Failure(Kind.UNREADABLE, "is not a regular file")
        check_file_size(found.st_size, limits)
        with open(place, "rb") as file:  # noqa: PTH123
            return checked(file.read(limits.max_file_bytes + 1), limits)
    except ImageError as error:
        return of_decoding(error)
    except (FileNotFoundError, NotADirectoryError):
        return Failure(Kind.MISSING, _hint("there is no such file", path))
    except OSError as error:
        return Failure(Kind.UNREADABLE, f"cannot be read ({(error.strerror or '').lower()})")
    except ValueError:  # a NUL in the name
        return Failure(Kind.UNREADABLE, "is not the name of a file")


def checked(data: bytes | None, limits: Limits) -> bytes | Failure:
    """Bytes that were given, within the limits."""
    if not data:
        return Failure(Kind.EMPTY, "the image is empty (0 bytes)")
    try:
        check_file_size(len(data), limits)
    except ImageError as error:
        return of_decoding(error)
    return data


def _hint(text: str, path: bytes) -> str:
    return f"{text}: a URL is not read, mount or copy the files" if b"://" in path else text
