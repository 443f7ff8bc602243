"""Durable writes: a reader sees the old file or the new one, never a part of it.

Write a temporary file, fsync, rename, fsync the directory: this survives kill -9 and power loss.
`locked` keeps a second process out of what the first one writes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from resnet_serve.errors import HostError, ResnetServeError, UsageError

_SILENT_S = 1.0  # of waiting for another process, before that is said
_log = logging.getLogger(__name__)
_ELSEWHERE = "Choose a path you may write to, or change its permissions."
_REMEDIES = {
    errno.ENOSPC: "Free some space or choose another place; nothing was changed.",
    errno.EDQUOT: "The disk quota is used up; nothing was changed.",
    errno.EROFS: "The file system is read-only; choose a path you may write to.",
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.ENOTDIR: "A part of the path is a file; choose another path.",
    errno.EEXIST: "A part of the path is a file; choose another path.",
    errno.EISDIR: "It is a directory; give the path of a file.",
}


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an `OSError` of the file system into a `HostError` with the path and a remedy."""
    try:
        yield
    except (ConnectionError, TimeoutError):  # an OSError, but of a network
        raise
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise HostError(
            f"cannot write: {reason}", where=path, remedy=_REMEDIES.get(error.errno or 0)
        ) from error


def write(path: Path, data: bytes | str) -> None:
    """Replace `path` by `data` atomically; creates its directory. Raises `HostError`."""
    raw = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}.part")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `path` at the end, whole, or is removed when that failed.

    Raises `UsageError` for a path that is there, and `HostError` where nothing can be written.
    """
    if os.path.lexists(path):
        raise UsageError("is there already", where=path, remedy="Name a new folder: --output.")
    part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}.part")
    with explained(path):
        try:
            part.mkdir(parents=True)
            yield part
            sync_tree(part)
            part.rename(path)
            sync_directory(path.parent)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


@contextlib.contextmanager
def locked(
    path: Path, busy: ResnetServeError | None = None, *, other: str | None = None
) -> Iterator[None]:
    """Lock a file or folder that is there, until the block or this process ends in whatever way.

    Raises `busy` where it is locked already, and waits for it where none is given; after a second
    that is logged as a warning, which is a line on stderr, with what the `other` process is.
    Raises `HostError` where it cannot be opened or its file system has no locks. A program that is
    started in the block does not have the lock.
    """
    with explained(path):
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if busy is not None:
                raise busy from error
            _wait(descriptor, other or f"another process that uses {path}")
        except OSError as error:
            raise HostError(f"cannot lock: {str(error.strerror).lower()}", where=path) from error
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, other: str) -> None:
    """Lock it when the process ends that has the lock, and say so where that takes long."""

    def say() -> None:
        holder = _holder(descriptor)
        _log.warning("waiting for %s%s", other, f" (process {holder})" if holder else "")

    late = threading.Timer(_SILENT_S, say)
    late.daemon = True
    late.start()
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    finally:
        late.cancel()


def _holder(descriptor: int) -> int | None:
    """The process that has the lock, where the kernel tells of it: `1: FLOCK … PID MAJ:MIN:INODE`.

    A container's kernel says 0 for a process outside, some file systems have another number there.
    """
    found = os.fstat(descriptor)
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            match line.split():
                case [_, "FLOCK", _, _, pid, where, *_] if where == place and int(pid) > 0:
                    return int(pid)
    return None


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Make every file and directory below `root` durable, leaves first; symlinks are not followed.

    Raises `HostError` for a file that cannot be read, and so cannot be synced.
    """
    with explained(root):
        for directory, _, names in os.walk(root, topdown=False, onerror=_raise):
            for path in (Path(directory) / name for name in names):
                if stat.S_ISREG(path.lstat().st_mode):
                    with path.open("rb") as file:
                        os.fsync(file.fileno())
            sync_directory(Path(directory))


def sha256(source: Path | bytes) -> str:
    """The SHA-256 of a file or of bytes, in hex."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _raise(error: OSError) -> None:
    raise error
