"""The versions in a Triton repository: which there are, and the passports they carry.

    model_repository/<name>/<version>/passport.json

The only place that lists them; `repository` writes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from resnet_serve import passport
from resnet_serve.errors import InputFileError
from resnet_serve.passport import Passport
from resnet_serve.triton.canary.split import FIRST_SPLIT, MARK
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
        """
        files = self.passport.files
        if files is not None and self.name in files:
            return (self.name, *(each for each in files if each != self.name))
        root, base = self.path.parent.parent, self.passport.name
        together = [f"{base}{ending}" for ending in ("", *whole.COMPANIONS)]
        if self.name not in together:  # a copy under another name
            return (self.name,)
        number = str(self.version)
        found = [each for each in together if (root / each / number).is_dir()]
        return (self.name, *(each for each in found if each != self.name))

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
        models = sorted(each for each in repository.iterdir() if _is_model(each))
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
    return entry.is_dir() and not entry.name.startswith(".") and MARK not in entry.name


def _is_version(name: str) -> bool:
    """Triton ignores numbers that begin with a zero; the highest ones are splits of canaries."""
    if not (name.isascii() and name.isdecimal()) or name.startswith("0"):
        return False
    return int(name) < FIRST_SPLIT
