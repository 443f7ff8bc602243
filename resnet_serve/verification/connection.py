"""The server that is compared: at an address, with TLS or without, or the repository's own.

The repository's own server is asked over gRPC as clients ask it. With TLS it may want a certificate
of each client and answer under another name than this host's; then its HTTP, which stays on
loopback, has the same models.
"""

from __future__ import annotations

from pathlib import Path

from resnet_serve.errors import UsageError
from resnet_serve.triton.client_tls import ClientTls
from resnet_serve.triton.grpc_client import GrpcClient
from resnet_serve.triton.http_client import Client, HttpClient
from resnet_serve.triton.server import running


def connect(url: str | None, repository: Path, tls: ClientTls | None) -> Client:
    """A client of the server at `url`, or of the repository's own; close it after use.

    Raises `UsageError` where no server runs, and `InputFileError` for files of `tls` that are none.
    """
    if url is not None:
        return GrpcClient(url, tls)
    server = running(repository)
    if server is None:
        raise UsageError(
            "no server runs on the repository",
            where=repository,
            remedy="Give --url, or start one: resnet-serve up --detach.",
        )
    if server.endpoints.encrypted and tls is None:
        return HttpClient(server.endpoints)
    return GrpcClient(server.grpc, tls)
