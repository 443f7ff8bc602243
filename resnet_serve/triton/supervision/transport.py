"""Who may reach the server: loopback as it is, anything beyond with TLS or where that is wanted.

Triton has TLS for gRPC alone. With it, HTTP and the metrics stay on loopback.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.triton.supervision.orders import options as parsed

_DATES = (9, 10)  # OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_ROUND_TRIPS = 4  # more than a handshake has


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


def tls(
    certificate: Path | None,
    key: Path | None,
    authority: Path | None,
    *,
    options: Sequence[str] = ("--tls-cert", "--tls-key", "--tls-ca"),
) -> Tls | None:
    """The TLS that these files make; None for none of them. `options` are how they are given.

    Raises `UsageError` for some of them without the others, and `InputFileError` for files that are
    not what they should be, because Triton would listen nevertheless and refuse every client.
    """
    if certificate is None or key is None:
        if (certificate, key, authority) == (None, None, None):
            return None
        raise UsageError(
            "TLS needs a certificate and its key", remedy=f"Give {options[0]} and {options[1]}."
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    dates = "Renew it; its dates: openssl x509 -noout -dates -in"
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise InputFileError(
            f"not a certificate with its key, without a password ({_reason(error)})",
            where=f"{certificate}, {key}",
            remedy=f"Give {options[0]} and {options[1]} two PEM files that belong together.",
        ) from error
    if reason := _dates(context, certificate).refusal:
        raise InputFileError(
            f"every client refuses it: {reason}", where=certificate, remedy=f"{dates} {certificate}"
        )
    if authority is not None:
        try:
            context.load_verify_locations(authority)
        except (OSError, ssl.SSLError) as error:
            raise InputFileError(
                f"not a certificate authority ({_reason(error)})",
                where=authority,
                remedy=f"Give {options[2]} a PEM file.",
            ) from error
        ends = [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in context.get_ca_certs()]
        if ends and max(ends) < time.time():
            raise InputFileError(
                "no client can be accepted: certificate has expired",
                where=authority,
                remedy=f"{dates} {authority}",
            )
    return Tls(certificate, key, authority)


def expiry(command: Sequence[str]) -> float | None:
    """When the certificate expires that a tritonserver is started with, in Unix time.

    None for a command without TLS, and for files that cannot be read or are of no valid date.
    """
    given = parsed(command)
    if "grpc-server-cert" not in given or "grpc-server-key" not in given:
        return None
    certificate, key = Path(given["grpc-server-cert"][-1]), given["grpc-server-key"][-1]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
        return _dates(context, certificate).ends
    except (OSError, ValueError):  # ssl.SSLError among them
        return None


@dataclass(frozen=True)
class _Dates:
    """Why a client refuses the dates of a certificate, or when it `ends`, in Unix time."""

    refusal: str = ""
    ends: float | None = None


def _dates(server: ssl.SSLContext, certificate: Path) -> _Dates:
    """The dates of the server's certificate.

    A handshake in memory says so, as Python has no other way to read the dates of a certificate.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certificate)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server)
    ends = (asking, server.wrap_bio(to_server, to_client, server_side=True))
    for _ in range(_ROUND_TRIPS):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return _Dates(error.verify_message if error.verify_code in _DATES else "")
            except ssl.SSLError:
                return _Dates()  # not a matter of its dates
    shown = asking.getpeercert() or {}
    ends_at = shown.get("notAfter")
    return _Dates(ends=None if ends_at is None else ssl.cert_time_to_seconds(str(ends_at)))


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
