"""A version beside the served one: the same files under names of their own.

Triton has one configuration per model, so two versions with different ones cannot be loaded under
one name. While versions change, the new one therefore has names of its own, in a second model
repository of the server:

    <server's folder>/beside/net.beside-4/    config.pbtxt  labels.txt  4 -> repository/net/4

The ensembles among them run each other, and never a model of another version.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_serve.errors import InputFileError
from resnet_serve.triton import config, image_repository
from resnet_serve.triton.config import NEWEST
from resnet_serve.triton.layout import LABELS_FILE
from resnet_serve.triton.repository import CONFIG_FILE, whole
from resnet_serve.triton.supervision import servable
from resnet_serve.triton.supervision.servable import BESIDE


class Beside:
    """The models of a change, by name and version, written to `folder`."""

    def __init__(self, folder: Path, repository: Path, moves: Mapping[str, int]) -> None:
        self.names = {name: f"{name}{BESIDE}{version}" for name, version in moves.items()}
        self._folder = folder
        self._repository = repository
        self.moves = moves
        self.configs = {name: self._config(name) for name in moves}

    @property
    def ensembles(self) -> tuple[str, ...]:
        """The models that run others, by their usual names."""
        return tuple(name for name in self.moves if _runs_others(self.configs[name]))

    @property
    def others(self) -> tuple[str, ...]:
        """The models that run no others."""
        return tuple(name for name in self.moves if not _runs_others(self.configs[name]))

    def write(self) -> None:
        """Write the models; what was there before is removed."""
        self.remove()
        for name, version in self.moves.items():
            own = image_repository.directory(self._repository, name) / str(version)
            model = self._folder / self.names[name]
            model.mkdir(parents=True)
            made = self.configs[name]
            made.name = self.names[name]
            (model / CONFIG_FILE).write_text(config.to_text(made), encoding="utf-8")
            if (own / LABELS_FILE).is_file():
                shutil.copy(own / LABELS_FILE, model / LABELS_FILE)
            (model / str(version)).symlink_to(own.resolve(), target_is_directory=True)

    def remove(self) -> None:
        """Remove the files of this and of any earlier change; others in the folder stay."""
        servable.clear(self._folder)

    def usual(self, name: str) -> Any:
        """The configuration in the repository.

        Given with the request it is loaded, even where Triton takes the files for unchanged.
        """
        path = image_repository.directory(self._repository, name) / CONFIG_FILE
        made = config.parse(path.read_text(encoding="utf-8"))
        made.name = name
        return made

    def running_beside(self, name: str) -> Any:
        """The configuration of an ensemble under its usual name that runs the models beside."""
        made = config.parse(config.to_text(self.configs[name]))
        made.name = name
        return made

    def _config(self, name: str) -> Any:
        version = self.moves[name]
        own = image_repository.directory(self._repository, name) / str(version) / CONFIG_FILE
        try:
            text = own.read_text(encoding="utf-8")
        except OSError as error:
            reason = str(error.strerror).lower()
            raise InputFileError(f"cannot be read ({reason})", where=own) from error
        made = config.parse(whole.served_config(text, version, (), own))
        for step in made.ensemble_scheduling.step:
            moved = self.moves.get(step.model_name)
            if moved is not None and step.model_version in (NEWEST, moved):
                step.model_version, step.model_name = moved, self.names[step.model_name]
        return made


def left(models: Mapping[str, set[int]]) -> tuple[str, ...]:
    """The models of a change among those of a server, whichever change it was."""
    return tuple(name for name in models if BESIDE in name)


def _runs_others(made: Any) -> bool:
    return len(made.ensemble_scheduling.step) > 0
