"""Commands for people and applications without gRPC: web."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Annotated

import typer

from resnet_serve import console
from resnet_serve.cli.screen import DEFAULT_REPOSITORY
from resnet_serve.errors import InputFileError, UnavailableError
from resnet_serve.triton.supervision import transport

TOKEN_VARIABLE = "RESNET_SERVE_TOKEN"  # noqa: S105 - its name


def web(
    repository: Annotated[
        Path | None,
        typer.Option(
            help="The Triton model repository. Default: model_repository; with --url none, or the "
            "one that is served there.",
            show_default=False,
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="gRPC address of any Triton. Default: the server that runs on --repository.",
            show_default=False,
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(help="With --url: host:port of its metrics.", show_default=False),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0: any free one.")] = 8080,
    listen: Annotated[
        str,
        typer.Option(
            help="The address to listen at. Beyond loopback with a token, and with TLS or "
            "--insecure."
        ),
    ] = "127.0.0.1",
    token_file: Annotated[
        Path | None,
        typer.Option(
            help=f"The file of the token that requests carry; or {TOKEN_VARIABLE}. Default: none "
            "on loopback, a new one beyond it.",
            show_default=False,
        ),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate, for HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's PEM key.")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen beyond loopback without TLS.")
    ] = False,
    server_tls: Annotated[bool, typer.Option("--server-tls", help="Triton has TLS.")] = False,
    server_ca: Annotated[
        Path | None,
        typer.Option(help="PEM authority of a Triton with TLS.", show_default=False),
    ] = None,
    server_cert: Annotated[
        Path | None,
        typer.Option(
            help="PEM certificate for a Triton that asks its clients for one.", show_default=False
        ),
    ] = None,
    server_key: Annotated[
        Path | None, typer.Option(help="Its PEM key.", show_default=False)
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, max=256, help="Requests in work at once; further ones get 503.")
    ] = 16,
    max_mib: Annotated[int, typer.Option(min=1, max=256, help="The largest request, in MiB.")] = 32,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds for a request, once it is read.")
    ] = 10,
) -> None:
    """Try the served models in a browser, and classify over plain HTTP, until Ctrl-C.

    The page compares an image, a camera or a labelled folder in every served version; POST
    /classify is for applications, /docs describes it.
    """
    from resnet_serve.web import serving
    from resnet_serve.web.places import Places
    from resnet_serve.web.settings import Settings

    if repository is None and url is None:
        repository = DEFAULT_REPOSITORY
    places = Places.given(
        repository,
        url,
        metrics,
        encrypted=server_tls,
        tls_files=(server_ca, server_cert, server_key),
    )
    where = serving.Listening(listen, port, transport.tls(tls_cert, tls_key, None))
    settings = serving.secured(
        Settings(
            token=_token(token_file),
            max_body_bytes=max_mib << 20,
            concurrency=concurrency,
            timeout_s=timeout_s,
        ),
        where,
        insecure=insecure,
    )
    server = serving.WebServer(places, settings, where)
    secret = "" if settings.token is None else f"#token={settings.token}"
    console.out.print(f"Page    {server.url}{secret}", soft_wrap=True)
    console.out.print(f"API     POST {server.url}classify", soft_wrap=True)
    console.out.print(f"        described at {server.url}docs", soft_wrap=True)
    console.out.print("Ctrl-C stops it.")
    try:
        places.look()
    except UnavailableError as error:  # it may start later
        console.warn(_with_options_of_web(str(error)))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server.run()
    console.out.print("stopped")


def _with_options_of_web(said: str) -> str:
    """An error of a connection to Triton: --tls-cert and --tls-key are those of the page here."""
    return re.sub(r"--tls-(?=ca|cert|key)", "--server-", said).replace("--tls,", "--server-tls,")


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text"
        raise InputFileError(f"the token cannot be read ({reason})", where=file) from error
