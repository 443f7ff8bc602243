"""The Triton repository: a version is staged, made durable, and swapped in as a whole.

A deployment can touch several models (the classifier, its preprocessing, their ensemble). Each
model directory is built complete, existing files hard-linked, and `staging` commits them all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resnet_serve import durable
from resnet_serve.errors import HostError
from resnet_serve.triton.repository import places, staging, versions
from resnet_serve.triton.repository.staging import DIRECTORY
from resnet_serve.triton.repository.versions import Deployed

CONFIG_FILE = "config.pbtxt"


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
            places.check_access(nearest)
            if nearest == self.path:
                places.check_same_mount(staging.root(self.path).parent, self.path)
                with staging.opened(self.path):
                    pass

    def check_replaceable(self, name: str) -> None:
        """Raise `HostError` now if a deployed classifier of this name could not be swapped in."""
        with durable.explained(self.path):
            for model in (name, f"{name}_preprocess", f"{name}_image"):
                places.check_replaceable(staging.root(self.path).parent, self.path / model)

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
            places.check_name(model.name)
        with durable.explained(self.path):
            staging.root(self.path).parent.mkdir(parents=True, exist_ok=True)
            with staging.opened(self.path) as place:
                version = 1 + max(max(self.versions(m.name), default=0) for m in models)
                for model in models:
                    self._build(place / model.name, model, version)
                holding = {model.name: {str(version): DIRECTORY} for model in models}
                staging.commit(self.path, place, holding)
        return version

    def rewrite(self, name: str, version: int, files: Mapping[str, bytes]) -> None:
        """Replace files of a version, all or none: `{"passport.json": …}`; raises `HostError`."""
        with durable.explained(self.path), staging.opened(self.path) as place:
            staging.copy(self.path / name, place / name)
            fresh = {f"{version}/{file}": data for file, data in files.items()}
            for path, data in fresh.items():
                staging.replace(place / name / path, data)
            holding = {path: durable.sha256(data) for path, data in fresh.items()}
            staging.commit(self.path, place, {name: holding})

    def recover(self) -> None:
        """Complete or discard what an interrupted change left."""
        if staging.root(self.path).is_dir():
            with durable.explained(self.path), staging.opened(self.path):
                pass

    def _build(self, directory: Path, model: ModelFiles, version: int) -> None:
        current = self.path / model.name
        if current.is_dir():
            staging.copy(current, directory)
        else:
            directory.mkdir()
        fresh = directory / str(version)
        fresh.mkdir()
        for name, data in model.version_files.items():
            (fresh / name).write_bytes(data)
        for name, data in {**model.files, CONFIG_FILE: model.config.encode()}.items():
            staging.replace(directory / name, data)
