"""Commands that change which version is served: promote, withdraw, rollback, remove.

A server that runs on the repository changes with it, without a failed request.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from resnet_serve import console
from resnet_serve.cli.models import canaries
from resnet_serve.cli.screen import DEFAULT_REPOSITORY, RepositoryOption
from resnet_serve.console import completion, remedies
from resnet_serve.errors import UsageError
from resnet_serve.triton import rollout
from resnet_serve.triton.canary.split import share
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.repository.canaries import Canary
from resnet_serve.triton.repository.changes import Change
from resnet_serve.triton.server import running

NameArgument = Annotated[
    str,
    typer.Argument(
        help="The model, as `resnet-serve list` names it.", autocompletion=completion.models
    ),
]
VersionedArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME[:VERSION]",
        help="The model, as `resnet-serve list` names it, or one of its versions.",
        autocompletion=completion.models,
    ),
]
DrainOption = Annotated[
    float,
    typer.Option(
        "--drain",
        min=0,
        help="Seconds for the requests that a running server has accepted for the old version.",
    ),
]


CanaryOption = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE",
        help="Give the version this share of the requests, as in 10%, and compare it with the "
        "served one until it is promoted or withdrawn.",
        show_default=False,
    ),
]


def promote(
    model: VersionedArgument,
    version: Annotated[
        int | None,
        typer.Argument(min=1, help="The version to serve; by default the canary's."),
    ] = None,
    canary: CanaryOption = None,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    drain_s: DrainOption = rollout.DRAIN_S,
) -> None:
    """Serve this version of a model, with its own configuration, labels and preprocessing.

    With --canary it gets a share of the requests first.
    """
    name, version = _named(model, version)
    opened = recovered(repository)
    found = opened.deployed()
    if version is None:
        version = _trying(opened, name).split.new
    if canary is not None:
        begin(opened, changes.canary(found, name, version, share(canary)), drain_s)
        return
    serve(opened, changes.promote(found, name, version), drain_s)


def withdraw(
    name: NameArgument,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    drain_s: DrainOption = rollout.DRAIN_S,
) -> None:
    """End the canary of a model: the served version gets all requests, the other one stays."""
    opened = recovered(repository)
    tried = _trying(opened, name)
    for line in canaries.told(repository, tried):
        console.out.print(line, soft_wrap=True)
    server = running(repository)
    if server is None:
        opened.serve(dict.fromkeys(tried.old.models, tried.old.version))
    else:
        with changing() as say:
            rollout.withdraw(server, opened, tried, say, drain_s=drain_s)
    where = "" if server is None else f" at {server.grpc}"
    console.out.print(f"{tried.new} is withdrawn, {tried.old} is served{where}", soft_wrap=True)


def begin(repository: Repository, canary: Canary, drain_s: float) -> None:
    """Give a version its share, in the repository and on a server that runs on it."""
    server = running(repository.path)
    if server is None:
        repository.split(canary)
    else:
        with changing() as say:
            shown = rollout.begin(server, repository, canary, say, drain_s=drain_s)
        for line in shown:
            console.out.print(line, soft_wrap=True)
    for model, reason in canary.unsplit.items():
        console.warn(f"{model} is not split: {reason}; version {canary.old.version} answers all")
    where = "" if server is None else f" at {server.grpc}"
    names, old = " and ".join(canary.routed), canary.old.version
    console.out.print(
        f"{canary.new} gets {canary.split.percent} of the requests to {names}{where}, version "
        f"{old} the others; `resnet-serve list` compares them",
        soft_wrap=True,
    )
    name = canary.new.name
    following = f"Next: resnet-serve promote {name}, or resnet-serve withdraw {name}"
    console.out.print(remedies.in_repository(following, repository.path), soft_wrap=True)


def rollback(
    model: VersionedArgument,
    version: Annotated[
        int | None,
        typer.Argument(min=1, help="An earlier version; the last before it by default."),
    ] = None,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    drain_s: DrainOption = rollout.DRAIN_S,
) -> None:
    """Serve an earlier version of a model again; the present one stays in the repository."""
    name, version = _named(model, version)
    opened = recovered(repository)
    serve(opened, changes.rollback(opened.deployed(), name, version), drain_s)


def remove(
    model: VersionedArgument,
    version: Annotated[
        int | None, typer.Argument(min=1, help="Only this version; by default the model.")
    ] = None,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
) -> None:
    """Delete a model, or a version of it that is not served."""
    name, version = _named(model, version)
    opened = recovered(repository)
    change = changes.remove(opened.deployed(), name, version)
    server = running(repository)
    if server is not None and change.version is None:
        rollout.remove(server, change.models)
    opened.remove(change.models, change.version)
    what = name if change.version is None else f"{name} version {change.version}"
    console.out.print(f"removed {what} ({', '.join(change.models)})", soft_wrap=True)


@contextlib.contextmanager
def changing() -> Iterator[rollout.Say]:
    """Progress while a server changes."""
    with console.bars() as bars:
        task = bars.add_task("changing the server", total=None)
        yield lambda text: bars.update(task, description=text)


def _named(model: str, version: int | None = None) -> tuple[str, int | None]:
    """The name and the version of NAME:VERSION, or of two arguments."""
    name, colon, number = model.partition(":")
    if not colon:
        return name, version
    if not (number.isascii() and number.isdecimal()):
        raise UsageError(f"{number!r} is not a version", remedy="Give NAME or NAME:VERSION.")
    if version not in (None, int(number)):
        raise UsageError(f"{model} and {version} are two versions", remedy="Give one of them.")
    return name, int(number)


def _trying(repository: Repository, name: str) -> Canary:
    found = repository.deployed()
    changes.find(found, name)
    tried = changes.trying(found, name)
    if tried is None:
        raise UsageError(
            f"{name} has no canary",
            remedy=f"Name the version to serve: resnet-serve promote {name} VERSION",
        )
    return tried


def recovered(path: Path) -> Repository:
    """The repository, after a change that was killed has been completed or undone."""
    opened = Repository(path)
    opened.recover()
    return opened


def serve(repository: Repository, change: Change, drain_s: float) -> None:
    """Swap the models in, and record the hashes of a version that has none."""
    new, old = change.new, change.old
    for deployed in change.deployed:
        if not deployed.whole:
            changes.store(repository, deployed)
            console.out.print(
                f"{deployed}: stored its configuration and labels, and the hashes of its files "
                "as they are now",
                soft_wrap=True,
            )
    server = running(repository.path)
    if server is None:
        repository.serve(change.models)
    else:
        with changing() as say:
            shown = rollout.serve(server, repository, change, say, drain_s=drain_s)
        for line in shown:
            console.out.print(line, soft_wrap=True)
    where = "" if server is None else f" at {server.grpc}"
    if old is not None and old.version == new.version:
        console.out.print(f"{new} is served{where}", soft_wrap=True)
    else:
        before = "" if old is None else f", before it version {old.version}"
        console.out.print(f"{new} is the served version{where}{before}", soft_wrap=True)
    for moved in change.deployed[1:]:
        console.out.print(f"{moved} moved with it")
