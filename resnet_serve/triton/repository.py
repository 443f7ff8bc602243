"""The Triton repository: a version is staged, made durable, and swapped in as a whole.

A deployment can touch several models (the classifier, its preprocessing, their ensemble). Each
model directory is built complete in a staging directory beside the repository, because Triton
would try to load anything inside it; existing files are hard-linked. A journal then commits them
all: kill -9 before that leaves the repository as it was, after it the next command completes the
swap.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resnet_serve import durable
from resnet_serve.errors import HostError, UsageError
from resnet_serve.triton import versions
from resnet_serve.triton.versions import Deployed

CONFIG_FILE = "config.pbtxt"
LONGEST_NAME = 200  # file systems take 255 bytes, and `<name>_preprocess` must fit too
_JOURNAL = ".commit.json"  # no model can have the name of a hidden file
_NOWHERE = ".resnet-serve-nowhere"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@dataclass(frozen=True)
class ModelFiles:
    """One model of a deployment: its configuration, the files beside that, the new version's."""

    name: str
    config: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    version_files: Mapping[str, bytes] = field(default_factory=dict)


class Repository:
    """A directory of models; it need not exist yet."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - keeps symlinks as the user wrote them

    def check_writable(self) -> None:
        """Raise `HostError` now, not after minutes of work, if a version cannot be written."""
        with durable.explained(self.path):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                self.path.lstat()  # raises for a name that is too long
            nearest = next(p for p in (self.path, *self.path.parents) if os.path.lexists(p))
            if not nearest.is_dir():
                raise HostError("is a file, not a directory", where=nearest)
            _check_access(nearest)
            if nearest == self.path:
                _check_same_mount(self._staging_root.parent, self.path)
                with self._staging():
                    pass

    def check_replaceable(self, name: str) -> None:
        """Raise `HostError` now if a deployed classifier of this name could not be swapped in."""
        with durable.explained(self.path):
            for model in (name, f"{name}_preprocess", f"{name}_image"):
                _check_replaceable(self._staging_root.parent, self.path / model)

    def versions(self, name: str) -> list[int]:
        """The versions of a model, ascending; none for a model that is not there."""
        return versions.of_model(self.path / name)

    def deployed(self) -> list[Deployed]:
        """Every version with a passport, by name and version; raises as `versions.deployed`."""
        return versions.deployed(self.path)

    def deploy(self, models: Sequence[ModelFiles]) -> int:
        """Add one version to every model of the deployment, all or none; returns its number.

        Raises `UsageError` for a bad model name, `HostError` where it cannot be written.
        """
        for model in models:
            check_name(model.name)
        with durable.explained(self.path):
            self._staging_root.parent.mkdir(parents=True, exist_ok=True)
            with self._staging() as staging:
                version = 1 + max(max(self.versions(m.name), default=0) for m in models)
                for model in models:
                    self._build(staging / model.name, model, version)
                durable.sync_tree(staging)
                self.path.mkdir(exist_ok=True)
                _check_access(self.path)
                _check_same_mount(staging, self.path)
                for model in models:
                    _check_replaceable(staging, self.path / model.name)
                journal = {"models": [model.name for model in models], "version": version}
                durable.write(staging / _JOURNAL, json.dumps(journal))
        return version

    def rewrite(self, name: str, version: int, files: Mapping[str, bytes]) -> None:
        """Replace files of a version, all or none: `{"passport.json": …}`; raises `HostError`."""
        with durable.explained(self.path), self._staging() as staging:
            shutil.copytree(self.path / name, staging / name, symlinks=True, copy_function=_link)
            for file, data in files.items():
                fresh = staging / name / str(version) / file
                # Writing into a hard link would change the version that is being served.
                fresh.unlink(missing_ok=True)
                fresh.write_bytes(data)
            durable.sync_tree(staging)
            _check_access(self.path)
            _check_same_mount(staging, self.path)
            _check_replaceable(staging, self.path / name)
            digests = {file: durable.sha256(data) for file, data in files.items()}
            journal = {"models": [name], "version": version, "files": digests}
            durable.write(staging / _JOURNAL, json.dumps(journal))

    def recover(self) -> None:
        """Complete or discard what an interrupted deployment left."""
        if self._staging_root.is_dir():
            with durable.explained(self.path), self._staging():
                pass

    @property
    def _staging_root(self) -> Path:
        """Beside the real directory, where the path is a symlink to it."""
        real = self.path.resolve()
        return real.parent / f".{real.name}.staging"

    @contextlib.contextmanager
    def _staging(self) -> Iterator[Path]:
        """An empty staging directory; one deployment at a time.

        At its end, or after an interruption at the next start, what the journal commits is swapped
        in and the rest is discarded.
        """
        root = self._staging_root
        with _locked(root.parent):
            with durable.explained(root.parent):
                root.mkdir(exist_ok=True)
            for left in root.iterdir():
                self._settle(left)
            staging = root / "deployment"
            staging.mkdir()
            try:
                yield staging
            finally:
                self._settle(staging)
                root.rmdir()

    def _build(self, directory: Path, model: ModelFiles, version: int) -> None:
        current = self.path / model.name
        if current.is_dir():  # its versions and any other files
            shutil.copytree(current, directory, symlinks=True, copy_function=_link)
        else:
            directory.mkdir()
        fresh = directory / str(version)
        fresh.mkdir()
        for name, data in model.version_files.items():
            (fresh / name).write_bytes(data)
        for name, data in {**model.files, CONFIG_FILE: model.config.encode()}.items():
            # Writing into a hard link would change the version that is being served.
            (directory / name).unlink(missing_ok=True)
            (directory / name).write_bytes(data)

    def _settle(self, staging: Path) -> None:
        """Swap in the models of a committed staging directory, then remove it."""
        journal = staging / _JOURNAL
        if journal.is_file():
            plan = json.loads(journal.read_text(encoding="utf-8"))
            for name in plan["models"]:
                if not self._holds(name, plan["version"], plan.get("files", {})):
                    _swap(staging / name, self.path / name)
            durable.sync_directory(self.path)
            journal.unlink()
        shutil.rmtree(staging)

    def _holds(self, name: str, version: int, files: Mapping[str, str]) -> bool:
        """Whether a model has the version, and in it these files with these hashes."""
        directory = self.path / name / str(version)
        return version in self.versions(name) and all(
            (directory / file).is_file() and durable.sha256(directory / file) == digest
            for file, digest in files.items()
        )


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Lock a directory for this process; the lock needs no file and ends with the process."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def check_name(name: str) -> None:
    """Raise `UsageError` for a model name that Triton, URLs or shells would not accept."""
    allowed = all(c.isascii() and (c.isalnum() or c in "_-.") for c in name)
    if not name or not allowed or name[0] in ".-" or len(name) > LONGEST_NAME:
        raise UsageError(
            f"{name!r} cannot be a model name",
            remedy=f"Use at most {LONGEST_NAME} letters, digits, '_', '-' and '.', "
            "not beginning with '.' or '-'.",
        )


def _check_access(directory: Path) -> None:
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
        code = errno.EROFS if read_only else errno.EACCES
        raise OSError(code, os.strerror(code), str(directory))


def _check_same_mount(staging: Path, directory: Path) -> None:
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


def _check_replaceable(staging: Path, directory: Path) -> None:
    """Raise before the commit if a model's directory could not be swapped."""
    if directory.is_dir():
        if not directory.is_symlink():
            _check_access(directory)
            _check_same_mount(staging, directory)
    elif os.path.lexists(directory):
        raise HostError(
            "is a file, but must be the directory of a model",
            where=directory,
            remedy="Use another --name, or move the file away.",
        )


def _link(source: str, destination: str) -> str:
    try:
        os.link(source, destination)
    except OSError:  # a file system without hard links
        shutil.copy2(source, destination)
    return destination


def _swap(new: Path, target: Path) -> None:
    """Exchange `new` and `target` in one step."""
    if not target.exists():
        new.rename(target)
        return
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    paths = (_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(target))
    # Without the exchange in libc, kernel or file system: two renames, covered by the journal.
    if exchange is None or exchange(*paths, _RENAME_EXCHANGE) != 0:
        old = new.with_name(f".{new.name}.old")
        target.rename(old)
        new.rename(target)
