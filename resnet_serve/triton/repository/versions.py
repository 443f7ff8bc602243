"""The versions in a Triton repository: which there are, and the passports they carry.

    model_repository/<name>/<version>/passport.json

One of a model that takes encoded images alone is in the second repository (`image_repository`).
The only place that lists them; `repository` writes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from resnet_serve import passport
from resnet_serve.errors import InputFileError
from resnet_serve.passport import Passport
from resnet_serve.triton import image_repository
from resnet_serve.triton.canary.split import FIRST_SPLIT, MARK
from resnet_serve.triton.layout import COMPANIONS, of_the_system
from resnet_serve.triton.repository import whole

# The files of a version, beside its passport.
MODEL_FILE = "model.onnx"
REPORT_FILE = "report.html"
PREPROCESSING_FILE = "preprocessing.json"  # of the model that decodes images


@dataclass(frozen=True)
class Deployed:
    """One version of a model, as found in a repository; `served` is what Triton loads of it."""

    name: str
    version: int
    path: Path
    passport: Passport
    served: bool = True

    @property
    def models(self) -> tuple[str, ...]:
        """The models that were deployed together with it, its own first.

        Passports of earlier versions do not say; there it is who has a version of that number.
        Those that take encoded images are none of them where they were not copied.
        """
        files = self.passport.files
        if files is not None and self.name in files:
            others = (each for each in files if each not in (self.name, *self.not_copied))
            return (self.name, *others)
        base = self.passport.name
        together = [f"{base}{ending}" for ending in ("", *COMPANIONS)]
        if self.name not in together:  # a copy under another name
            return (self.name,)
        number = str(self.version)
        found = [each for each in together if (self.directory(each) / number).is_dir()]
        return (self.name, *(each for each in found if each != self.name))

    @property
    def not_copied(self) -> tuple[str, ...]:
        """The models that take encoded images, where their repository is not beside this one."""
        if image_repository.of(self.repository).is_dir():
            return ()
        return tuple(
            each
            for each in self.passport.files or ()
            if image_repository.takes_images(each) and not self.directory(each).is_dir()
        )

    @property
    def repository(self) -> Path:
        """The repository that it is in: the first one, if it is in the second."""
        return image_repository.first(self.path.parent.parent)

    def directory(self, model: str) -> Path:
        """The directory of a model of its repository."""
        return image_repository.directory(self.repository, model)

    @property
    def whole(self) -> bool:
        """Whether it keeps its own configuration and labels, with their hashes."""
        return self.passport.files is not None and whole.keeps_its_own(self.path)

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


def of_model(directory: Path) -> list[int]:
    """The versions of a model, ascending: its subdirectories that Triton sees as versions.

    None for a directory that does not exist.
    """
    try:
        entries = list(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(each.name) for each in entries if _is_version(each.name) and each.is_dir())


def deployed(repository: Path) -> list[Deployed]:
    """Every version with a passport, by name and version.

    Raises `InputFileError` where there is no repository, it cannot be read, or a passport is
    damaged.
    """
    if not repository.is_dir():
        raise InputFileError(
            "there is no model repository", where=repository, remedy="resnet-convert makes one."
        )
    try:
        models = [each for each in image_repository.directories(repository) if _is_model(each)]
        models.sort(key=lambda each: each.name)
        found = [(model, version) for model in models for version in _stamped(model)]
    except OSError as error:
        raise InputFileError(f"cannot be read ({error.strerror})", where=error.filename) from error
    shown = {model: whole.served_version(model, of_model(model)) for model in models}
    return [
        Deployed(
            model.name,
            version,
            model / str(version),
            passport.read(_stamp(model, version)),
            served=shown[model] == version,
        )
        for model, version in found
    ]


def served(found: Iterable[Deployed]) -> dict[str, Deployed]:
    """The version of each model that Triton serves, by name."""
    return {each.name: each for each in found if each.served}


def find(directory: Path) -> Path:
    """The version that a directory names: itself, or the newest with a passport of a model.

    Raises `InputFileError` where there is none.
    """
    if (directory / passport.FILE_NAME).is_file():
        return directory
    if not directory.is_dir():
        raise InputFileError("there is no such directory", where=directory)
    stamped = _stamped(directory)
    if not stamped:
        raise InputFileError(
            "is no model that resnet-convert deployed",
            where=directory,
            remedy="Give the model's directory in the repository, or one of its versions.",
        )
    return directory / str(stamped[-1])


def _stamped(model: Path) -> list[int]:
    return [version for version in of_model(model) if _stamp(model, version).is_file()]


def _stamp(model: Path, version: int) -> Path:
    return model / str(version) / passport.FILE_NAME


def _is_model(entry: Path) -> bool:
    """Not one that serves a version of another model alone, while there is a canary."""
    return not of_the_system(entry.name) and MARK not in entry.name


def _is_version(name: str) -> bool:
    """Triton ignores numbers that begin with a zero; the highest ones are splits of canaries."""
    if not (name.isascii() and name.isdecimal()) or name.startswith("0"):
        return False
    return int(name) < FIRST_SPLIT
