"""Commands that check what is deployed or served: verify."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from resnet_serve import console
from resnet_serve.cli.checks import watching
from resnet_serve.cli.screen import (
    DEFAULT_REPOSITORY,
    RepositoryOption,
    TlsCaOption,
    TlsCertOption,
    TlsKeyOption,
    TlsOption,
)
from resnet_serve.console import completion, remedies
from resnet_serve.errors import UsageError
from resnet_serve.triton.client_tls import client_tls
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.verification import files, served
from resnet_serve.verification import host as verify
from resnet_serve.verification.connection import connect
from resnet_serve.verification.reference import computed, recorded
from resnet_serve.verification.report import HostCheck, Report, table
from resnet_serve.verification.watch import Watch


def verify_models(
    name: Annotated[
        str | None,
        typer.Argument(
            help="The model; with --host all of them by default.",
            autocompletion=completion.models,
            show_default=False,
        ),
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
            help="gRPC address of any Triton that serves it. Default: the server that runs on "
            "--repository.",
            show_default=False,
        ),
    ] = None,
    tls: TlsOption = False,
    tls_ca: TlsCaOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    module: Annotated[
        list[str] | None,
        typer.Option(
            help="With --images: a network of your own that may be run, as it was given to "
            "resnet-convert.",
            show_default=False,
        ),
    ] = None,
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Compare again and again, a line each, until Ctrl-C."),
    ] = False,
    every: Annotated[
        str | None,
        typer.Option(
            help="With --watch: the time from one round to the next, such as 30s, 5m or 1h. "
            "Default: 5m.",
            show_default=False,
        ),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="With --watch: serve the agreement to Prometheus at this port of loopback; "
            "0: any free one.",
            show_default=False,
        ),
    ] = None,
    metrics_file: Annotated[
        Path | None,
        typer.Option(
            help="With --watch: write it to this .prom file after each round, for "
            "node_exporter's textfile collector.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compare what is served with its reference, or with --host this machine with the passport."""
    opened = Repository(repository)
    _require_watch(
        watch,
        host,
        {
            "--every": every,
            "--metrics-port": metrics_port,
            "--metrics-file": metrics_file,
        },
    )
    if host:
        _refuse(
            "--host loads nothing",
            {"--images": images, "--module": module, "--url": url, "--tls": tls or None}
            | {"--tls-ca": tls_ca, "--tls-cert": tls_cert, "--tls-key": tls_key},
        )
        found = verify.chosen(opened.deployed(), name)
        report = verify.verify(found, verify.describe(os.environ.get("TRT_VERSION")))
        _print(report, repository, as_json=as_json)
        report.require()
        return
    if name is None:
        raise UsageError(
            "verify needs to know what to compare",
            remedy="Give a model that is served, or --host for this machine.",
        )
    if images is None:
        _refuse("without --images nothing runs but the server", {"--module": module})
    modules = tuple(module or ())
    reference = recorded if images is None else partial(computed, source=images, modules=modules)
    opening = partial(connect, url, repository, client_tls(tls, tls_ca, tls_cert, tls_key))
    if watch:
        watching.run(
            Watch(
                lambda: changes.find(opened.deployed(), name),
                opening,
                reference,
            ),
            every_s=watching.seconds(every or watching.EVERY),
            metrics_port=metrics_port,
            metrics_file=metrics_file,
            as_json=as_json,
        )
        return
    deployed = changes.find(opened.deployed(), name)
    with contextlib.closing(opening()) as client:
        answered = served.rows(deployed, client, reference(deployed))
    rows = [*files.all_rows(deployed), *answered]
    report = Report(
        tuple(
            HostCheck(
                deployed.name, deployed.version, row.subject, row.verdict, row.found, row.remedy
            )
            for row in rows
        )
    )
    _print(report, repository, as_json=as_json)
    report.require_parity()


def _refuse(what: str, given: dict[str, object]) -> None:
    """Raise `UsageError` for options that have no meaning here."""
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise UsageError(what, remedy=f"Leave out {' and '.join(names)}.")


def _require_watch(watch: bool, host: bool, options: dict[str, object]) -> None:
    """Raise `UsageError` for options of --watch without it, or --watch with --host."""
    given = [name for name, value in options.items() if value is not None]
    if given and not watch:
        raise UsageError(f"{given[0]} is an option of --watch", remedy="Give --watch too.")
    if watch and host:
        raise UsageError("--watch compares a server, --host this machine", remedy="Leave one out.")


def _print(report: Report, repository: Path, *, as_json: bool) -> None:
    report = Report(
        tuple(
            replace(each, remedy=remedies.in_repository(each.remedy, repository))
            for each in report.checks
        )
    )
    if as_json:
        console.show_json({"checks": report.to_json()})
    else:
        console.show(table(report))
