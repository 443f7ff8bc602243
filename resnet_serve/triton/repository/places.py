"""Where models can be deployed: names that Triton accepts, directories that can be swapped."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from resnet_serve.errors import HostError, UsageError
from resnet_serve.triton.canary.split import MARK

LONGEST_NAME = 200  # file systems take 255 bytes, and `<name>_preprocess` must fit too
_NOWHERE = ".resnet-serve-nowhere"


def check_name(name: str) -> None:
    """Raise `UsageError` for a model name that Triton, URLs or shells would not accept."""
    allowed = all(c.isascii() and (c.isalnum() or c in "_-.") for c in name) and MARK not in name
    if not name or not allowed or name[0] in ".-" or len(name) > LONGEST_NAME:
        raise UsageError(
            f"{name!r} cannot be a model name",
            remedy=f"Use at most {LONGEST_NAME} letters, digits, '_', '-' and '.', "
            f"not beginning with '.' or '-', and without {MARK!r}.",
        )


def check_access(directory: Path) -> None:
    """Raise the `OSError` of a directory that may not be written."""
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
        code = errno.EROFS if read_only else errno.EACCES
        raise OSError(code, os.strerror(code), str(directory))


def check_same_mount(staging: Path, directory: Path) -> None:
    """Refuse a directory into which nothing beside it can be renamed.

    The kernel compares the mounts before it looks up the name, for bind mounts too; so renaming a
    file that does not exist is enough to find out.
    """
    try:
        (staging / _NOWHERE).rename(directory / _NOWHERE)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise HostError(
            "is a mount point, so nothing can be moved into it atomically",
            where=directory,
            remedy="Use a directory inside it as the repository.",
        ) from error


def check_replaceable(staging: Path, directory: Path) -> None:
    """Raise before the commit if a model's directory could not be swapped."""
    if directory.is_dir():
        if not directory.is_symlink():
            check_access(directory)
            check_same_mount(staging, directory)
    elif os.path.lexists(directory):
        raise HostError(
            "is a file, but must be the directory of a model",
            where=directory,
            remedy="Use another --name, or move the file away.",
        )
