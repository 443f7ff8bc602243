"""Commands that check what is deployed or served: verify."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from resnet_serve import console
from resnet_serve.cli.screen import DEFAULT_REPOSITORY, RepositoryOption
from resnet_serve.errors import UsageError
from resnet_serve.triton.repository import Repository
from resnet_serve.verification import host as verify


def verify_models(
    name: Annotated[
        str | None, typer.Argument(help="The model; all of them by default.", show_default=False)
    ] = None,
    host: Annotated[
        bool,
        typer.Option(
            "--host",
            help="Compare this machine with the one that each passport names, and run the engines "
            "that were built without their GPU.",
        ),
    ] = False,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Check on the serving machine whether it can serve what is deployed, before it serves."""
    if not host:
        raise UsageError("verify needs to know what to compare with", remedy="Use --host.")
    opened = Repository(repository)
    found = verify.chosen(opened.deployed(), name)
    report = verify.verify(found, verify.describe(os.environ.get("TRT_VERSION")))
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        console.out.print(verify.table(report))
    report.require()
