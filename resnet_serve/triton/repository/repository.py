"""The Triton repository: a version is staged, made durable, and swapped in as a whole.

A deployment can touch several models (the classifier, its preprocessing, their ensemble). Each
model directory is built complete, existing files hard-linked, and `staging` commits them all.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from resnet_serve import durable
from resnet_serve.errors import HostError, InputFileError, UsageError
from resnet_serve.triton import image_repository
from resnet_serve.triton.layout import COMPANIONS, CONFIG_FILE, LABELS_FILE
from resnet_serve.triton.repository import canaries, places, staging, versions, whole
from resnet_serve.triton.repository.canaries import Canary
from resnet_serve.triton.repository.staging import ABSENT, DIRECTORY
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.triton.repository.whole import ModelFiles


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
            second = image_repository.of(self.path)
            if os.path.lexists(second):
                places.check_access(second)
                places.check_same_mount(second.parent, second)

    def check_replaceable(self, name: str) -> None:
        """Raise `HostError` now if a deployed classifier of this name could not be swapped in.

        Raises as `check_free` too.
        """
        self.check_free(name)
        with durable.explained(self.path):
            for model in (name, f"{name}_preprocess", f"{name}_image"):
                places.check_replaceable(staging.root(self.path).parent, self.directory(model))

    def check_free(self, name: str, remedy: str = "Give another --name.") -> None:
        """Raise `UsageError` where a classifier of this name would replace a part of another model.

        `net_image` is the name of a model that `net` was deployed with. Where a passport is damaged
        nothing is known of the others.
        """
        found: list[Deployed] = []
        with contextlib.suppress(InputFileError):
            found = self.deployed()
        parts = {name, *(f"{name}{ending}" for ending in COMPANIONS)}
        for each in found:
            shared = [model for model in (each.name, *each.models) if model in parts]
            if each.name != name and shared:
                raise UsageError(
                    f"{name} would replace {shared[0]}, which belongs to {each}",
                    remedy=remedy,
                )

    def versions(self, name: str) -> list[int]:
        """The versions of a model, ascending; none for a model that is not there."""
        return versions.of_model(self.directory(name))

    def directory(self, model: str) -> Path:
        """The directory of a model, in this repository or in the one of encoded images."""
        return image_repository.directory(self.path, model)

    def deployed(self) -> list[Deployed]:
        """Every version with a passport, by name and version; raises as `versions.deployed`."""
        return versions.deployed(self.path)

    def deploy(self, models: Sequence[ModelFiles], *, serve: bool = True) -> int:
        """Add one version to every model of the deployment, all or none; returns its number.

        It becomes the served version, unless another one is served and `serve` is False. Raises
        `UsageError` for a bad model name, `HostError` where it cannot be written.
        """
        for model in models:
            places.check_name(model.name)
        names = [model.name for model in models]
        with durable.explained(self.path):
            staging.root(self.path).parent.mkdir(parents=True, exist_ok=True)
            with staging.opened(self.path) as place:
                version = 1 + max(max(self.versions(name), default=0) for name in names)
                holding = {}
                for model in models:
                    served = self._copy(model.name, place)
                    fresh = place / model.name / str(version)
                    fresh.mkdir()
                    for file, data in model.kept.items():
                        (fresh / file).write_bytes(data)
                    shown = version if serve or served is None else served
                    held = {}
                    if shown == version or canaries.running(place / model.name) is None:
                        held = _show(place / model.name, shown, names)
                    holding[model.name] = {str(version): DIRECTORY, **held}
                if serve:
                    holding |= canaries.ended(self.path, names)
                staging.commit(self.path, place, holding)
        return version

    def serve(self, wanted: Mapping[str, int]) -> None:
        """Make these versions the served ones, by model, all or none.

        Raises `InputFileError` for a configuration that is damaged, `HostError` where it cannot be
        written. The versions must keep a configuration of their own.
        """
        with durable.explained(self.path), staging.opened(self.path) as place:
            holding = {}
            for name, version in wanted.items():
                self._copy(name, place)
                together = [each for each, number in wanted.items() if number == version]
                holding[name] = _show(place / name, version, together)
            staging.commit(self.path, place, holding | canaries.ended(self.path, wanted))

    def split(self, canary: Canary) -> None:
        """Give a version its share of the requests, besides the served one; ends an earlier canary.

        Raises `HostError` where it cannot be written.
        """
        models = canary.new.models
        with durable.explained(self.path), staging.opened(self.path) as place:
            # Links of the canary lead to models of the same repository.
            moved = [name for name in models if whole.takes_images(self.path / name)]
            for name in {*canary.routed, *moved}:
                self._copy(name, place)
            written = {name: {".": DIRECTORY} for name in moved} | canaries.write(place, canary)
            staging.commit(self.path, place, canaries.ended(self.path, models) | written)

    def remove(self, names: Sequence[str], version: int | None = None) -> None:
        """Remove a version of these models, or the models; a model without versions goes too."""
        with durable.explained(self.path), staging.opened(self.path) as place:
            holding = {}
            for name in names:
                rest = [] if version is None else [v for v in self.versions(name) if v != version]
                if rest:
                    self._copy(name, place)
                    shutil.rmtree(place / name / str(version))
                holding[name] = {".": DIRECTORY, str(version): ABSENT} if rest else {".": ABSENT}
            if version is None:
                holding |= canaries.ended(self.path, names)
            staging.commit(self.path, place, holding)

    def rewrite(self, name: str, version: int, files: Mapping[str, bytes]) -> None:
        """Replace files of a version, all or none: `{"passport.json": …}`; raises `HostError`."""
        with durable.explained(self.path), staging.opened(self.path) as place:
            staging.copy(self.directory(name), place / name)
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

    def _copy(self, name: str, place: Path) -> int | None:
        """Copy a model into the change; returns the version that is served, None for a new model.

        The files of the model's directory are those of the served version. One from an earlier
        resnet-serve, which kept them nowhere else, gets them before they are replaced.
        """
        current, copied = self.directory(name), place / name
        if not current.is_dir():
            copied.mkdir()
            return None
        staging.copy(current, copied)
        served = whole.served_version(copied, versions.of_model(copied))
        if served is not None and not whole.keeps_its_own(copied / str(served)):
            for file in (CONFIG_FILE, LABELS_FILE):
                if (copied / file).is_file():
                    staging.link(copied / file, copied / str(served) / file)
        return served


def _show(directory: Path, version: int, together: Sequence[str]) -> dict[str, str]:
    """Make the files of a model's directory those of a version; returns what it then holds.

    A canary ends with it.
    """
    gone = dict.fromkeys(canaries.numbers(directory), ABSENT)
    canaries.clear(directory)
    if not whole.keeps_its_own(directory / str(version)):
        return gone  # an earlier deployment that was damaged too: its files stay as they are
    shown = whole.copies(directory / str(version), together)
    for file in (CONFIG_FILE, LABELS_FILE):
        if file in shown:
            staging.replace(directory / file, shown[file])
        else:
            (directory / file).unlink(missing_ok=True)
    hashes = {file: durable.sha256(data) for file, data in shown.items()}
    return {CONFIG_FILE: ABSENT, LABELS_FILE: ABSENT, **gone, **hashes}
