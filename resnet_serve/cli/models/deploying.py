"""Commands that bring a version in: deploy.

The version is checked, copied in as a whole, tested on the server that runs, and then served.
"""

from __future__ import annotations

from typing import Annotated

import typer

from resnet_serve import console
from resnet_serve.cli.models.versions import CanaryOption, DrainOption, begin, recovered, serve
from resnet_serve.cli.screen import DEFAULT_REPOSITORY, RepositoryOption
from resnet_serve.triton import rollout
from resnet_serve.triton.canary.split import share
from resnet_serve.triton.repository import changes
from resnet_serve.verification import incoming


def deploy(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|NAME:VERSION",
            help="A converted version anywhere, as in models/resnet50/2, or one of --repository.",
        ),
    ],
    canary: CanaryOption = None,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    drain_s: DrainOption = rollout.DRAIN_S,
) -> None:
    """Bring in a version that was converted elsewhere, and serve it; a running server changes too.

    Its files must be those of its passport. With --canary it gets a share of the requests first.
    """
    asked = None if canary is None else share(canary)
    opened = recovered(repository)
    found = incoming.find(source, opened)
    files = incoming.read(found)
    name, number = found.name, found.version
    if found.repository.resolve() != opened.path.resolve():
        opened.check_free(name, "Give another --repository, or remove that model first.")
        there = incoming.present(found, opened)
        number = opened.deploy(files, serve=False) if there is None else there
        what = "copied" if there is None else "is there already"
        console.out.print(f"{found.path}: {what}, {name} version {number}", soft_wrap=True)
    deployed = opened.deployed()
    if asked is not None:
        begin(opened, changes.canary(deployed, name, number, asked), drain_s)
    else:
        serve(opened, changes.promote(deployed, name, number), drain_s)
