"""What Triton is told to load, where a repository also has directories that hold no model.

`--load-model=*` is every directory, and Triton does not start if one of them is no model:
`lost+found` of a volume, `.git` of a checkout, a folder of notes. Then the models are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnet_serve.triton.supervision.orders import options
from resnet_serve.triton.supervision.servable import is_model

_ALL = "--load-model=*"


def named(command: Sequence[str]) -> list[str]:
    """The command, which loads the models by name where "*" would find more than models."""
    if _ALL not in command:
        return list(command)
    found = [
        each
        for repository in options(command).get("model-repository", [])
        for each in directories(Path(repository))
    ]
    models = [each.name for each in found if is_model(each)]
    if not models or len(models) == len(found):
        return list(command)
    at = list(command).index(_ALL)
    names = [f"--load-model={each}" for each in dict.fromkeys(models)]
    return [*command[:at], *names, *command[at + 1 :]]


def directories(repository: Path) -> list[Path]:
    """The directories of a repository, by name; none where it cannot be read."""
    try:
        return sorted(each for each in repository.iterdir() if each.is_dir())
    except OSError:
        return []
