"""The one error hierarchy: what happened, where, and what to do about it.

    ResnetServeError           1
        UsageError             2
            ModelError         2  the server does not serve this model
        ParityError            3
        HostError              4
            UnavailableError   4  no server answers, or it accepts no requests now
                DeadlineError  4  no response within the timeout
        InputFileError         5
        ConversionError        5
        ServerError            1  the server refused a request
            InvalidInputError  1  because of its input

The number is the exit code of every command that ends with the error:
0 done · 1 unexpected · 2 usage · 3 parity not met · 4 missing on this host · 5 bad input file.
`server_error` makes one of them from the error of a gRPC call to Triton. What is no error is told
as a sentence: a plain one is a warning, a `Note` is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

# The gRPC statuses after which the same request may succeed.
RETRYABLE = ("UNAVAILABLE",)
_WHEN_FULL = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
_FULL_QUEUE = "Its queue is full: send less at once, or allow a longer timeout."
_PERHAPS_TLS = (", or speaks it only over TLS", " TLS: --tls, or tls=True.")
_REQUEST_TAG = re.compile(
    r"(?:^|(?<=, ))(\[request id: [^\]]*\] )+"
)  # in an ensemble: after its name


class Note(str):
    """A sentence on an ordinary fact, among others that warn: there is nothing to do about it."""

    __slots__ = ()


class ResnetServeError(Exception):
    """An error that this toolkit can explain in one line.

    `what` is what happened, `where` the file, layer or address, and `remedy` what to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, remedy: str | None = None) -> None:
        self.what = " ".join(what.split())
        self.where = None if where is None else str(where)
        self.remedy = remedy
        super().__init__(self.what)

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        return text if self.remedy is None else f"{text.removesuffix('.')}. {self.remedy}"


class UsageError(ResnetServeError):
    """The options contradict each other or name something that does not exist."""

    exit_code = 2


class ParityError(ResnetServeError):
    """The converted model is not close enough to the PyTorch reference."""

    exit_code = 3


class HostError(ResnetServeError):
    """This host lacks something: a package, a program, a free port, disk space, a permission."""

    exit_code = 4


class InputFileError(ResnetServeError):
    """An input file is missing, damaged, of the wrong kind, or not what its name says.

    Where `where` is a `Path` that leads nowhere, the remedy begins with the one that is near.
    """

    exit_code = 5

    def __init__(self, what: str, *, where: object = None, remedy: str | None = None) -> None:
        from resnet_serve.near_paths import near  # needed for this alone

        found = near(where) if isinstance(where, Path) else None
        if found is not None:
            remedy = f"Did you mean {found}?" + (f" {remedy}" if remedy else "")
        super().__init__(what, where=where, remedy=remedy)


class ConversionError(ResnetServeError):
    """A stage of the conversion cannot convert this graph; `where` is the stage and the layer."""

    exit_code = 5


class ModelError(UsageError):
    """The server does not serve this model or version, or the model is not usable here."""


class UnavailableError(HostError):
    """No server answers at the address, or it accepts no requests now."""


class DeadlineError(UnavailableError):
    """The server did not respond within the timeout."""


class ServerError(ResnetServeError):
    """The server refused a request; `what` is its own message."""


class InvalidInputError(ServerError):
    """The server refused a request because of its input (INVALID_ARGUMENT)."""


class GrpcError(Protocol):
    """The error of a gRPC call, as tritonclient's `InferenceServerException` describes it."""

    def message(self) -> str | None:
        """The server's message, or gRPC's own where no server sent one."""

    def status(self) -> str | None:
        """The status, such as `StatusCode.UNAVAILABLE`."""


def server_error(
    error: GrpcError,
    url: str,
    *,
    where: str,
    timeout_s: float,
    live: Callable[[], object],
    certified: bool | None = None,
) -> ResnetServeError:
    """The error that a failed gRPC call to the Triton at `url` (host:port) means.

        UNAVAILABLE        UnavailableError   Triton sends it too, for a full queue or a restricted
                                              protocol: `live` is called to find out
        RESOURCE_EXHAUSTED UnavailableError   for a full queue; `ServerError` for anything else
        UNIMPLEMENTED      UnavailableError   another kind of server
        DEADLINE_EXCEEDED  DeadlineError      after `timeout_s`
        CANCELLED          UnavailableError   by a server that ends, else `ServerError`
        NOT_FOUND          ModelError
        INVALID_ARGUMENT   InvalidInputError  the rest of them `ServerError`

    `where` names the model. `live` asks the server whether it is live, and raises an error of the
    same class when no server answers. For `certified` see `unreachable`.
    """
    message = server_message(error)
    status = str(error.status()).removeprefix("StatusCode.")
    full = status in _WHEN_FULL and "queue size" in message
    if status in ("UNAVAILABLE", "CANCELLED") and not full:
        try:
            live()
        except type(error) as refusal:  # type: ignore[misc]
            return unreachable(url, server_message(refusal), certified=certified)
    if status == "UNAVAILABLE" or full:
        return UnavailableError(
            message,
            where=f"the server at {url} accepts no requests now",
            remedy=_FULL_QUEUE if full else None,
        )
    if status == "UNIMPLEMENTED":
        return UnavailableError(f"the server at {url} is not a Triton ({message})")
    if status == "DEADLINE_EXCEEDED":
        return DeadlineError(
            f"no response from {url} within {timeout_s:g} s",
            remedy="The server may be overloaded: send less, or allow a longer timeout.",
        )
    if status == "NOT_FOUND":
        return ModelError(message, where=where)
    if status == "INVALID_ARGUMENT":
        return InvalidInputError(message, where=where)
    return ServerError(message, where=where)


def server_message(error: GrpcError) -> str:
    """The message of a gRPC error in one line, without Triton's request id."""
    return _REQUEST_TAG.sub("", " ".join((error.message() or "no reason given").split()))


def unreachable(
    url: str,
    message: str,
    *,
    certified: bool | None = None,
    absent: str = "Start it with: resnet-serve up",
) -> UnavailableError:
    """The error for no connection to `url`, or a server that is ending, of which gRPC says this.

    `url` is what the caller gave: gRPC names one of the addresses of a host that has several.
    `certified` is whether a client with TLS has a certificate of its own, None for one without TLS;
    `absent` is the remedy where nothing answers.
    """
    if "Server exiting" in message:
        return UnavailableError(
            "it is ending", where=f"the server at {url} accepts no requests now"
        )
    if re.search("resolv|DNS", message):
        return UnavailableError(
            f"the host name in {url} cannot be resolved", remedy="Check the spelling."
        )
    if re.search("(?i)certificate.verify.failed|not in peer certificate", message):
        return UnavailableError(
            f"the certificate of the server at {url} is not accepted",
            remedy="Give the authority that signed it (--tls-ca, or Tls(ca=…)), and its host name.",
        )
    if "create security handshaker" in message:
        return UnavailableError(
            f"no TLS with the server at {url}: its authority, or this client's certificate and "
            "key, cannot be used",
            remedy="Give PEM files: of the key, the one that belongs to the certificate, without "
            "a password.",
        )
    if "WRONG_VERSION_NUMBER" in message:
        return UnavailableError(
            f"the server at {url} does not speak TLS", remedy="Connect without TLS."
        )
    if certified is not None and "Socket closed" in message:
        # The client has accepted the server's certificate by then; the server says no reason.
        wants = "does not accept this client's" if certified else "requires a client"
        again = "one that its authority signed, with " if certified else ""
        return UnavailableError(
            f"the server at {url} {wants} certificate",
            remedy=f"Give {again}--tls-cert and --tls-key, or Tls(certificate=…, key=…).",
        )
    if re.search("Socket closed|http1|ALPN|HTTP/2", message):
        alone, tls = ("", "") if certified is not None else _PERHAPS_TLS
        return UnavailableError(
            f"the server at {url} does not speak gRPC{alone}",
            remedy=f"Triton's gRPC port is 8001 by default; 8000 is HTTP.{tls}",
        )
    return UnavailableError(
        f"no server answers at {url}",
        remedy=f"{absent}{_two_addresses(url)}",
    )


def _two_addresses(url: str) -> str:
    """The rest of a remedy where the host of `url` has two addresses; empty for any other.

    gRPC tries both, and tells only of the last, at which the server need not listen.
    """
    host, _, port = url.rpartition(":")
    if host != "localhost":
        return ""
    return f". If it runs, try 127.0.0.1:{port} or [::1]:{port}: localhost can be both"
