"""Download one file: it gets its name only after its size and SHA-256 were checked."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resnet_serve import durable
from resnet_serve.errors import HostError, InputFileError
from resnet_serve.user_cache import cache_home

Progress = Callable[[int, int], None]
_CHUNK = 1 << 18
_SIZE_TOLERANCE_MIB = 0.001  # published sizes have three decimals


def torch_hub_checkpoints() -> Path:
    """The folder where `torch.hub` keeps checkpoints; files already there are used."""
    home = Path(os.environ.get("TORCH_HOME") or cache_home() / "torch")
    return home.expanduser() / "hub" / "checkpoints"


def fetch(
    url: str,
    destination: Path,
    *,
    sha256_prefix: str,
    size_mib: float | None = None,
    progress: Progress | None = None,
    timeout_s: float = 30,
) -> Path:
    """Download `url` to `destination`, unless it is there already; returns `destination`.

    `sha256_prefix` is the beginning of the file's SHA-256, which an existing file is checked
    against too. `progress(done_bytes, total_bytes)` is called during the download. Raises
    `HostError` when the download fails and `InputFileError` for a file of another size or hash.
    """
    if destination.is_file():
        check(destination, sha256_prefix)
        return destination
    aside = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    with durable.explained(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        _stream(url, aside, size_mib, progress, timeout_s)
        check(aside, sha256_prefix, name=url)
        with durable.explained(destination):
            aside.replace(destination)
            durable.sync_directory(destination.parent)
    except (OSError, http.client.HTTPException) as error:  # urllib's own errors are OSErrors
        reason = " ".join(str(error).split()) or type(error).__name__  # it may quote the server
        raise HostError(
            f"cannot be downloaded ({reason})",
            where=url,
            remedy=f"On a host without network, put the file at {destination}.",
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    return destination


def _stream(
    url: str, aside: Path, size_mib: float | None, progress: Progress | None, timeout_s: float
) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "resnet-serve"})  # noqa: S310
    opener = urllib.request.build_opener()  # reads the proxies of the environment now
    with (
        opener.open(request, timeout=timeout_s) as response,
        durable.explained(aside),
        aside.open("wb") as file,
    ):
        announced = response.headers.get("Content-Length") or ""
        total = int(announced) if announced.isdecimal() else 0
        done = 0
        while chunk := _read(response):
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
            if size_mib is not None and done / 2**20 > size_mib + _SIZE_TOLERANCE_MIB:
                raise InputFileError(f"is larger than the expected {size_mib:.3f} MiB", where=url)
        file.flush()
        os.fsync(file.fileno())
    if total and done != total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")
    if size_mib is not None and done / 2**20 < size_mib - _SIZE_TOLERANCE_MIB:
        raise InputFileError(f"is {done / 2**20:.3f} MiB, expected {size_mib:.3f} MiB", where=url)


def _read(response: Any) -> bytes:
    try:
        chunk: bytes = response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        # To tell errors of the network from those of the disk, which are OSErrors too.
        raise ConnectionError(str(error) or type(error).__name__) from error
    return chunk


def check(path: Path, sha256_prefix: str, *, name: str | None = None) -> str:
    """The SHA-256 of a file; raises `InputFileError` unless it begins with `sha256_prefix`.

    `name` is the file's name in the error, by default its path.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(sha256_prefix.lower()):
        raise InputFileError(
            f"has SHA-256 {found[:16]}…, expected {sha256_prefix}…",
            where=name or path,
            remedy="The file is damaged or another one; delete it and try again.",
        )
    return found
