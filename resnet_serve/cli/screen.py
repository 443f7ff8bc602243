"""What the commands share: options of the repository and of TLS, progress, a server's addresses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from resnet_serve import console
from resnet_serve.console import remedies
from resnet_serve.triton.server import Progress as ServerProgress
from resnet_serve.triton.server import Running, Server

RepositoryOption = Annotated[Path, typer.Option(help="The Triton model repository.")]
DEFAULT_REPOSITORY = remedies.DEFAULT_REPOSITORY

# `resnet_serve.triton.client_tls` reads them.
TlsOption = Annotated[bool, typer.Option("--tls", help="Encrypt the connection.")]
TlsCaOption = Annotated[
    Path | None,
    typer.Option(help="Trust these authorities, PEM, instead of the system's."),
]
TlsCertOption = Annotated[
    Path | None, typer.Option(help="A client's certificate, PEM, for servers that ask for one.")
]
TlsKeyOption = Annotated[Path | None, typer.Option(help="Its key, PEM.")]


@contextmanager
def waiting(text: str) -> Iterator[ServerProgress]:
    """Progress while a server starts: `text`, the model that was loaded last, and how many."""
    with console.bars() as bars:
        task = bars.add_task(text, total=None)

        def show(_elapsed_s: float, loaded: tuple[str, ...], count: int) -> None:
            last = f": {loaded[-1]}" if loaded else ""
            bars.update(task, description=f"{text}{last}", completed=len(loaded), total=count)

        yield show


def endpoints(server: Server | Running) -> None:
    """Print the addresses of a server, one a line."""
    console.out.print(f"gRPC    {server.grpc}")
    console.out.print(f"HTTP    http://{server.http}")
    console.out.print(f"Metrics http://{server.metrics}/metrics")
