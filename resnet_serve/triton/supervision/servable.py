"""What Triton will find in a model repository, checked before it starts."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from resnet_serve.errors import HostError, UsageError
from resnet_serve.triton import image_repository
from resnet_serve.triton.layout import CONFIG_FILE, of_the_system

# Triton starts a stub with `bash -c`, and quotes none of the paths in it.
_PLAIN = re.compile(r"[A-Za-z0-9_.,:=@%+/-]+")

BESIDE = ".beside-"  # in the names of models that are loaded beside the served ones


def plain(name: str) -> bool:
    """Whether a name is safe on a stub's command line: ASCII, no spaces, no shell characters."""
    return _PLAIN.fullmatch(name) is not None


def is_model(directory: Path) -> bool:
    """Whether Triton finds a model in a directory of a repository: a configuration, or a version.

    A volume has `lost+found` and a checkout `.git`, which need not be readable; another directory
    that cannot be read is taken for a model, so that Triton says why it does not load it.
    """
    try:
        if (directory / CONFIG_FILE).exists():
            return True
        return any(each.name.isdecimal() and each.is_dir() for each in directory.iterdir())
    except OSError:
        return not of_the_system(directory.name)


def left_out(repository: Path) -> Iterator[str]:
    """A line for each directory that is not loaded and that somebody may take for a model."""
    for each in image_repository.directories(repository) if repository.is_dir() else ():
        if not is_model(each) and not of_the_system(each.name):
            yield f"{each} is not loaded: it has neither a {CONFIG_FILE} nor a version"


def count_models(repository: Path) -> int:
    """How many models a server loads of both repositories."""
    if not repository.is_dir():
        raise UsageError(
            "there is no such model repository",
            where=repository,
            remedy="Give --repository, or make one with resnet-convert.",
        )
    try:
        names = [
            entry.name for entry in image_repository.directories(repository) if is_model(entry)
        ]
    except PermissionError as error:
        raise HostError("the model repository cannot be read", where=repository) from error
    if not names:
        raise UsageError(
            "the model repository has no model: nothing to serve",
            where=repository,
            remedy="Deploy a model with resnet-convert.",
        )
    for name in names:
        if not plain(name):
            raise UsageError(
                f"Triton cannot serve a model named {name!r}",
                where=repository,
                remedy="Name its directory with ASCII letters, digits, '_', '-' and '.'.",
            )
    return len(names)


def repository(scratch: Path) -> Path:
    """The link through which a server sees its repository, in the folder of its supervisor."""
    return scratch / "repository"


def images(scratch: Path) -> Path:
    """The same of the models that take encoded images."""
    return scratch / "images"


def show_images(scratch: Path, repository: Path) -> None:
    """Let a server see the second repository, if that is there by now."""
    link, second = images(scratch), image_repository.of(repository)
    if second.is_dir() and not link.is_symlink():
        with contextlib.suppress(FileNotFoundError):
            link.rmdir()
        link.symlink_to(second, target_is_directory=True)
    link.mkdir(exist_ok=True)  # Triton does not start without a directory that it was given


def beside(scratch: Path) -> Path:
    """A server's last model repository, empty but while versions change."""
    return scratch / "beside"


def clear(folder: Path) -> None:
    """Remove the models of a change from that repository, and nothing else there.

    It may be removed elsewhere meanwhile.
    """
    for left in folder.glob(f"*{BESIDE}*"):
        with contextlib.suppress(FileNotFoundError):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()
