"""Places: the addresses of the server behind the web application, and its repository if known.

The server of a repository is looked up again when it is needed, since another one may have been
started on other ports. Its passports, reports and example images are read where they lie.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from resnet_client import Classifier, Tls
from resnet_client.transport.connection import Connection
from resnet_client.transport.deadlines import Deadline
from resnet_serve.errors import UnavailableError, UsageError
from resnet_serve.triton.repository import versions
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.triton.server import running

_LOOK_S = 2.0


@dataclass(frozen=True)
class Address:
    """Where one server is: gRPC, and its metrics if they are known, both host:port."""

    grpc: str
    metrics: str | None = None
    tls: Tls | None = None


@dataclass(frozen=True)
class Places:
    """The server at `url` (gRPC, host:port), or, without it, the one that serves `repository`.

    `metrics` is the host:port of the metrics of the server at `url`.
    """

    repository: Path | None = None
    url: str | None = None
    metrics: str | None = None
    tls: Tls | None = None

    @classmethod
    def given(
        cls,
        repository: Path | None,
        url: str | None,
        metrics: str | None,
        *,
        encrypted: bool = False,
        tls_files: tuple[Path | None, Path | None, Path | None] = (None, None, None),
    ) -> Self:
        """The places that the options of a command say; `tls_files` are authority, certificate and
        key for an `encrypted` connection, which any of them makes it.

        Raises `UsageError` for what cannot be an address, and for files that cannot be read.
        """
        tls = Tls(*tls_files) if encrypted or any(tls_files) else None
        if url is None:
            if metrics is not None:
                raise UsageError("--metrics is an option of --url", remedy="Give it too.")
            return cls(repository, tls=tls)
        Classifier(url, tls=tls or False).close()
        place = None if metrics is None else metrics.removeprefix("http://").partition("/")[0]
        return cls(repository, url, place, tls)

    def address(self) -> Address:
        """The addresses now; raises `UnavailableError` where no server runs on the repository."""
        if self.url is not None:
            return Address(self.url, self.metrics, self.tls)
        found = None if self.repository is None else running(self.repository)
        if found is None:
            raise UnavailableError(
                "no server runs on this repository",
                where=self.repository,
                remedy=f"Start it with: resnet-serve up --repository {self.repository}",
            )
        encrypted = found.endpoints.encrypted
        return Address(found.grpc, found.metrics, (self.tls or Tls()) if encrypted else self.tls)

    def look(self) -> None:
        """Raise `UnavailableError` where no server answers now."""
        found = self.address()
        connection = Connection(found.grpc, timeout_s=_LOOK_S, tls=found.tls)
        with closing(connection):
            connection.learn_server(Deadline.after(_LOOK_S, once=True))

    def deployed(self) -> dict[tuple[str, str], Deployed]:
        """The versions in the repository, by name and version; raises `InputFileError`."""
        if self.repository is None or not self.repository.is_dir():
            return {}
        found = versions.deployed(self.repository)
        return {(each.name, str(each.version)): each for each in found}
