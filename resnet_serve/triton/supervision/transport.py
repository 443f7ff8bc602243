"""Who may reach the server: loopback as it is, anything beyond with TLS or where that is wanted.

Triton has TLS for gRPC alone. With it, HTTP and the metrics stay on loopback.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from resnet_serve.errors import InputFileError, UsageError


@dataclass(frozen=True)
class Tls:
    """The files of gRPC's TLS; with `authority`, clients need a certificate that it signed."""

    certificate: Path
    key: Path
    authority: Path | None = None

    def options(self) -> list[str]:
        """The command line options of tritonserver for them."""
        found = [
            f"--grpc-use-ssl{'' if self.authority is None else '-mutual'}=1",
            f"--grpc-server-cert={self.certificate.absolute()}",
            f"--grpc-server-key={self.key.absolute()}",
        ]
        if self.authority is not None:
            found.append(f"--grpc-root-cert={self.authority.absolute()}")
        return found


def tls(certificate: Path | None, key: Path | None, authority: Path | None) -> Tls | None:
    """The TLS that these files make; None for none of them.

    Raises `UsageError` for some of them without the others, and `InputFileError` for files that are
    not what they should be, because Triton would listen nevertheless and refuse every client.
    """
    if certificate is None or key is None:
        if (certificate, key, authority) == (None, None, None):
            return None
        raise UsageError(
            "TLS needs a certificate and its key", remedy="Give --tls-cert and --tls-key."
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise InputFileError(
            f"not a certificate with its key, without a password ({_reason(error)})",
            where=f"{certificate}, {key}",
            remedy="Give --tls-cert and --tls-key two PEM files that belong together.",
        ) from error
    if authority is not None:
        try:
            context.load_verify_locations(authority)
        except (OSError, ssl.SSLError) as error:
            raise InputFileError(
                f"not a certificate authority ({_reason(error)})",
                where=authority,
                remedy="Give --tls-ca a PEM file.",
            ) from error
    return Tls(certificate, key, authority)


def _reason(error: Exception) -> str:
    text = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return str(text).replace("_", " ").lower()


def is_loopback(address: str) -> bool:
    """Whether nobody outside this host can reach it; also for a name that cannot be resolved."""
    try:
        found = socket.getaddrinfo(address or None, 0, flags=socket.AI_PASSIVE)
    except OSError:
        return True  # starting fails with the reason
    return all(ipaddress.ip_address(each[4][0]).is_loopback for each in found)


def require_safe(address: str, used: Tls | None, *, insecure: bool) -> None:
    """Raise `UsageError` for an address beyond loopback without TLS, unless that is wanted."""
    if used is None and not insecure and not is_loopback(address):
        raise UsageError(
            f"{address} can be reached from other hosts, without TLS",
            remedy="Give --tls-cert and --tls-key, or --insecure where the network protects it.",
        )
