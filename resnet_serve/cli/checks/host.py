"""Commands on this host and this program: doctor, schema."""

from __future__ import annotations

from typing import Annotated

import typer

from resnet_serve import console
from resnet_serve.cli.screen import DEFAULT_REPOSITORY, RepositoryOption
from resnet_serve.doctor import examination as doctor
from resnet_serve.errors import UsageError


def examine(
    features: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            help=f"Exit with 4 unless this works here: {', '.join(doctor.FEATURES)}.",
            show_default=False,
        ),
    ] = None,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """What this host has, what is missing for which feature, and the command that installs it."""
    diagnosis = doctor.examine(repository=repository)
    if as_json:
        console.show_json(diagnosis.to_json())
    else:
        console.show(doctor.table(diagnosis))
    diagnosis.require(features or [])


def print_schema(name: Annotated[str, typer.Argument(help="The file: preprocessing.")]) -> None:
    """The JSON Schema of a file: of --preprocessing FILE."""
    from resnet_serve.preprocessing import document

    if name != "preprocessing":
        raise UsageError(f"there is no schema of {name!r}", remedy="There is: preprocessing.")
    typer.echo(document.schema(), nl=False)
