"""The commands that a message names, with the repository that the user's own command was given.

A stage knows the model and not the option, and without the option the command that it names would
change the repository of the working directory.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resnet_serve.errors import ResnetServeError

DEFAULT_REPOSITORY = Path("model_repository")
OF_A_REPOSITORY = {
    "resnet-serve": (
        *("batch", "deploy", "doctor", "down", "export", "health", "list", "loadtest"),
        *("manifests", "promote", "remove", "rollback", "tune", "up", "verify", "web", "withdraw"),
    ),
    "resnet-convert": ("ensemble", "remeasure", "ten-crop"),
}
_PROGRAMS = "|".join(f"{name} (?:{'|'.join(verbs)})" for name, verbs in OF_A_REPOSITORY.items())
_COMMAND = re.compile(rf"\b(?:{_PROGRAMS})\b")


def in_repository(text: str, repository: Path | str | None) -> str:
    """The text, in which every command on a repository names this one.

    As it is where it names one already, and for the default.
    """
    if repository is None or "--repository" in text:
        return text
    if Path(repository).absolute() == DEFAULT_REPOSITORY.absolute():
        return text
    option = f" --repository {shlex.quote(str(repository))}"
    return _COMMAND.sub(lambda found: found[0] + option, text)


def naming_the_repository(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose errors name its `repository` in the commands of their remedies."""

    @functools.wraps(command)
    def run(**given: Any) -> Any:
        try:
            return command(**given)
        except ResnetServeError as error:
            if error.remedy is not None:
                error.remedy = in_repository(error.remedy, given.get("repository"))
            raise

    return run
