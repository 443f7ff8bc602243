"""Commands that start and stop a server: up, down."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from resnet_serve import console, durable
from resnet_serve.cli.screen import DEFAULT_REPOSITORY, RepositoryOption, endpoints, waiting
from resnet_serve.errors import UsageError
from resnet_serve.triton.repository import Repository
from resnet_serve.triton.server import Server, running, stop_detached
from resnet_serve.triton.supervision import servable, transport
from resnet_serve.triton.supervision.detached import last_status, state_directory
from resnet_serve.triton.supervision.orders import DRAIN_S
from resnet_serve.triton.supervision.status import GAVE_UP
from resnet_serve.triton.supervision.tracing.settings import Otlp, Tracing
from resnet_serve.verification import starting


def up(
    repository: RepositoryOption = DEFAULT_REPOSITORY,
    port: Annotated[
        int, typer.Option(help="HTTP port; gRPC and metrics take the next two. 0: any free ones.")
    ] = 8000,
    listen: Annotated[
        str, typer.Option(help="The address to listen at. Beyond loopback with TLS or --insecure.")
    ] = "127.0.0.1",
    tls_cert: Annotated[
        Path | None,
        typer.Option(help="PEM certificate: TLS for gRPC; HTTP stays on loopback."),
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's PEM key.")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="PEM authority that must have signed clients' certificates.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen beyond loopback without TLS.")
    ] = False,
    detach: Annotated[
        bool,
        typer.Option("--detach", help="Return when ready; `resnet-serve down` stops it."),
    ] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", help="Seconds to wait for all models to be ready.")
    ] = 120,
    drain: Annotated[
        float,
        typer.Option(min=0, help="Seconds for requests in flight when the server is stopped."),
    ] = DRAIN_S,
    status_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the supervisor's metrics; 0: none.")
    ] = 0,
    log: Annotated[
        Path | None, typer.Option(help="The file of the server's own log.", show_default=False)
    ] = None,
    access_log: Annotated[
        Path | None,
        typer.Option(
            help="A line of JSON for each request, in this file, or - for the output.",
            show_default=False,
        ),
    ] = None,
    trace_otlp: Annotated[
        str | None,
        typer.Option(
            help="Send spans to http://HOST:4318/v1/traces of an OpenTelemetry collector.",
            show_default=False,
        ),
    ] = None,
    trace_rate: Annotated[
        int | None,
        typer.Option(
            help="With --trace-otlp: trace one in so many requests; 0: those whose client sent a "
            "traceparent. Default: 1.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve the repository with Triton until Ctrl-C, or in the background with --detach.

    A server that crashes, or no longer answers, is restarted on the same ports.
    """
    opened = Repository(repository)
    opened.recover()
    found = opened.deployed() if repository.is_dir() else []
    for error in starting.unloadable(found, repository):
        raise error
    console.warn(*starting.unproved(found), *servable.left_out(repository))
    tls = transport.tls(tls_cert, tls_key, tls_ca)
    transport.require_safe(listen, tls, insecure=insecure)
    tracing = _tracing(access_log, trace_otlp, trace_rate, detach=detach)
    if not transport.is_loopback(listen):
        without = "" if tls is not None else "without TLS or authentication, and "
        console.warn(
            f"listening on {listen}: {without}the wheel's Triton 2.51 predates security fixes of "
            "2025; use NVIDIA's current container beyond this host (docs/security.md)"
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with waiting("starting Triton") as show:
        server = Server(
            repository,
            port=port,
            address=listen,
            timeout_s=timeout_s,
            log=log,
            progress=show,
            drain_s=drain,
            tls=tls,
            status_port=status_port,
            tracing=tracing,
        )
        server.start(detach=detach, known=True)
    try:
        endpoints(server)
        if status_port:
            host, _, _ = server.metrics.rpartition(":")
            console.out.print(f"Status  http://{host}:{status_port}/metrics", soft_wrap=True)
        if detach:
            if told := server.status.told():
                console.warn(f"the server was {told}")
            console.out.print(f"Log     {server.log}", soft_wrap=True)
            console.out.print(f"Stop it with: resnet-serve down --repository {repository}")
            return
        if running(repository) is None:
            console.warn(
                f"{state_directory()} cannot be written, so no other command finds this server; "
                "set XDG_STATE_HOME to a folder of yours"
            )
        console.out.print("Ctrl-C stops it.")
        server.wait(console.warn)
    except KeyboardInterrupt:
        console.out.print("stopping")
    finally:
        if not detach:
            server.stop()
    console.out.print("stopped")


def _tracing(log: Path | None, otlp: str | None, rate: int | None, *, detach: bool) -> Tracing:
    """What these options trace; raises `UsageError` for what does not go together."""
    if rate is not None and otlp is None:
        raise UsageError("--trace-rate is an option of --trace-otlp", remedy="Give it too.")
    spans = None if otlp is None else Otlp(otlp, 1 if rate is None else rate)
    tracing = Tracing(log, spans)
    if tracing.to_output:
        if detach:
            raise UsageError(
                "a detached server has no output", remedy="Give --access-log a file instead of -."
            )
    elif log is not None:
        tracing = Tracing(log.absolute(), spans)
        with durable.explained(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            log.open("ab").close()
    return tracing


def down(repository: RepositoryOption = DEFAULT_REPOSITORY) -> None:
    """Stop the server that runs on the repository, detached or in another terminal."""
    status = last_status(repository)
    told = "" if status is None else status.told()
    if stop_detached(repository):
        console.out.print(f"stopped{told and f'; it was {told}'}", soft_wrap=True)
        return
    ended = f": it was {told}" if status is not None and status.state == GAVE_UP else ""
    console.out.print(f"no server runs on {repository}{ended}", soft_wrap=True)
