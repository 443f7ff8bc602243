"""Commands on what the repository holds: list."""

from __future__ import annotations

from typing import Annotated

import typer

from resnet_serve import console, listing
from resnet_serve.cli import canaries
from resnet_serve.cli.screen import DEFAULT_REPOSITORY, RepositoryOption
from resnet_serve.triton.repository import Repository
from resnet_serve.triton.server import running
from resnet_serve.triton.supervision.detached import last_status
from resnet_serve.verification import files


def list_models(
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Models, versions, precision, parity numbers and age."""
    opened = Repository(repository)
    opened.recover()
    found = opened.deployed()
    if as_json:
        rows = listing.rows(found)
        for row in rows:
            row["canary"] = canaries.facts(repository, found, row["model"], row["version"])
        console.show_json({"models": rows})
        return
    console.show(listing.table(found))
    for tried in canaries.present(found):
        for line in canaries.told(repository, tried):
            console.out.print(line, soft_wrap=True, markup=False)
    for line in files.earlier(found):
        console.warn(line)
    served = running(repository)
    if served is not None:
        console.out.print(f"Served at {served.grpc} (gRPC).")
    if (status := last_status(repository)) is not None and status.told():
        console.out.print(f"The server was {status.told()}.", soft_wrap=True)
