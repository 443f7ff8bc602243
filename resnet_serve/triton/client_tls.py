"""TLS of a client of Triton's gRPC: the authorities it trusts, and its own certificate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from resnet_serve import host
from resnet_serve.errors import InputFileError, UsageError


@dataclass(frozen=True)
class ClientTls:
    """PEM files. Without `authority` those are trusted that this host knows.

    `certificate` and `key` are the client's own, for servers that ask for one.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @property
    def certified(self) -> bool:
        """Whether the client shows a certificate of its own."""
        return self.certificate is not None

    def options(self) -> list[str]:
        """The options of a command that asks for it."""
        given = {
            "--tls-ca": self.authority,
            "--tls-cert": self.certificate,
            "--tls-key": self.key,
        }
        words = [word for name, path in given.items() if path for word in (name, str(path))]
        return words or ["--tls"]

    def credentials(self) -> grpc.ChannelCredentials:
        """The channel's credentials; raises `InputFileError` for files that cannot be used."""
        files = (self.authority, self.key, self.certificate)
        authority, key, certificate = map(_contents, files)
        return grpc.ssl_channel_credentials(authority or host.authorities(), key, certificate)


def client_tls(
    encrypted: bool, authority: Path | None, certificate: Path | None, key: Path | None
) -> ClientTls | None:
    """The TLS that these options ask for; None for none of them.

    Raises `UsageError` for a certificate without its key, or the other way round, and
    `InputFileError` for files that cannot be used.
    """
    if (certificate is None) != (key is None):
        raise UsageError(
            "a client's certificate and its key are given together",
            remedy="Give --tls-cert and --tls-key.",
        )
    if not encrypted and authority is None and certificate is None:
        return None
    made = ClientTls(authority, certificate, key)
    made.credentials()
    return made


def _contents(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"cannot be read ({error.strerror})", where=path) from error
    if b"-----BEGIN " not in data:
        raise InputFileError("is not a PEM file", where=path)
    return data
