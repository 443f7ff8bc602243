"""Commands that check what is deployed or served: verify."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from resnet_serve import console
from resnet_serve.cli.screen import DEFAULT_REPOSITORY, RepositoryOption
from resnet_serve.errors import UsageError
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.server import running
from resnet_serve.verification import files, served
from resnet_serve.verification import host as verify
from resnet_serve.verification.reference import computed, recorded
from resnet_serve.verification.report import HostCheck, Report, table


def verify_models(
    name: Annotated[
        str | None,
        typer.Argument(help="The model; with --host all of them by default.", show_default=False),
    ] = None,
    host: Annotated[
        bool,
        typer.Option(
            "--host",
            help="Compare this machine with the one that each passport names, and run the engines "
            "that were built without their GPU.",
        ),
    ] = False,
    images: Annotated[
        str | None,
        typer.Option(
            help="Images to send: a folder, or a built-in set such as digits. They need PyTorch "
            "and the weights. Default: the version's own examples.",
            show_default=False,
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="gRPC address of any Triton that serves it. Default: the detached server.",
            show_default=False,
        ),
    ] = None,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Compare what is served with its reference, or with --host this machine with the passport."""
    opened = Repository(repository)
    if host:
        if images is not None or url is not None:
            raise UsageError("--host loads nothing", remedy="Leave out --images and --url.")
        found = verify.chosen(opened.deployed(), name)
        report = verify.verify(found, verify.describe(os.environ.get("TRT_VERSION")))
        _print(report, as_json=as_json)
        report.require()
        return
    if name is None:
        raise UsageError(
            "verify needs to know what to compare",
            remedy="Give a model that is served, or --host for this machine.",
        )
    deployed = changes.find(opened.deployed(), name)
    server = running(repository) if url is None else None
    address = url or (None if server is None else server.grpc)
    if address is None:
        raise UsageError(
            "no detached server runs on the repository",
            where=repository,
            remedy="Give --url, or start one: resnet-serve up --detach.",
        )
    asked = recorded(deployed) if images is None else computed(deployed, images)
    rows = [*files.rows(deployed), *served.rows(deployed, address, asked)]
    report = Report(
        tuple(
            HostCheck(
                deployed.name, deployed.version, row.subject, row.verdict, row.found, row.remedy
            )
            for row in rows
        )
    )
    _print(report, as_json=as_json)
    report.require_parity()


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        console.out.print(table(report))
