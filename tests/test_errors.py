"""The error hierarchy: exit codes are a promise, a message is one sentence with its place."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_serve import errors
from resnet_serve.preprocessing import ImageError

CODES = {
    errors.ResnetServeError: 1,
    errors.UsageError: 2,
    errors.ParityError: 3,
    errors.HostError: 4,
    errors.InputFileError: 5,
    errors.ConversionError: 5,
    errors.ModelError: 2,
    errors.UnavailableError: 4,
    errors.DeadlineError: 4,
    errors.ServerError: 1,
    errors.InvalidInputError: 1,
    ImageError: 5,
}


@pytest.mark.parametrize(("kind", "code"), CODES.items())
def test_exit_codes_are_the_documented_ones(kind: type[errors.ResnetServeError], code: int) -> None:
    assert kind("x").exit_code == code
    assert issubclass(kind, errors.ResnetServeError)


def test_every_error_has_a_documented_exit_code() -> None:
    classes = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert classes <= set(CODES)


@pytest.mark.parametrize(
    ("where", "remedy", "text"),
    [
        (None, None, "is broken"),
        (Path("a/b.onnx"), None, "a/b.onnx: is broken"),
        (None, "Mend it.", "is broken. Mend it."),
        ("layer3.4.conv2", "Mend it.", "layer3.4.conv2: is broken. Mend it."),
    ],
)
def test_message_says_where_what_and_what_to_do(
    where: object, remedy: str | None, text: str
) -> None:
    assert str(errors.InputFileError("is broken", where=where, remedy=remedy)) == text


def test_an_error_survives_a_process_boundary() -> None:
    error = errors.HostError("no port", where="127.0.0.1", remedy="Free one.")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is errors.HostError
    assert (str(copy), copy.exit_code) == (str(error), 4)


class GrpcFailureError(Exception):
    """As tritonclient's InferenceServerException."""

    def __init__(self, status: str, message: str | None = "said\nso") -> None:
        self._status, self._message = f"StatusCode.{status}", message

    def status(self) -> str:
        return self._status

    def message(self) -> str | None:
        return self._message


def explained(
    status: str, message: str | None = "said\nso", live: Callable[[], object] = lambda: True
) -> errors.ResnetServeError:
    failure = GrpcFailureError(status, message)
    return errors.server_error(failure, "gpu:8001", where="model 'm'", timeout_s=3, live=live)


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        ("DEADLINE_EXCEEDED", errors.DeadlineError, "no response from gpu:8001 within 3 s."),
        ("UNIMPLEMENTED", errors.UnavailableError, "the server at gpu:8001 is not a Triton"),
        ("NOT_FOUND", errors.ModelError, "model 'm': said so"),
        ("INVALID_ARGUMENT", errors.InvalidInputError, "model 'm': said so"),
        ("INTERNAL", errors.ServerError, "model 'm': said so"),
        ("CANCELLED", errors.ServerError, "model 'm': said so"),
        ("UNAVAILABLE", errors.UnavailableError, "gpu:8001 accepts no requests now: said so"),
    ],
)
def test_every_grpc_status_is_an_error_of_ours(
    status: str, kind: type[errors.ResnetServeError], text: str
) -> None:
    found = explained(status)
    assert type(found) is kind
    assert text in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("DNS resolution failed", "the host name in gpu:8001 cannot be resolved."),
        ("Trying to connect an http1.x server", "the server at gpu:8001 does not speak gRPC, or"),
        ("ipv4:10.0.0.1:8001: Socket closed", "the server at gpu:8001 does not speak gRPC, or"),
        (
            "SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER",
            "the server at gpu:8001 does not sp",
        ),
        (
            "CERTIFICATE_VERIFY_FAILED: unable to get",
            "the certificate of the server at gpu:8001 is",
        ),
        (
            "Peer name gpu is not in peer certificate",
            "the certificate of the server at gpu:8001 is",
        ),
        (
            "last error: UNKNOWN: ipv4:10.0.0.1:8001: Failed to create security handshaker.",
            "no TLS with the server at gpu:8001: its authority, or this client's certificate and "
            "key, cannot be used. Give PEM files",
        ),
        ("Server exiting", "the server at gpu:8001 accepts no requests now: it is ending"),
        ("failed to connect to all addresses", "no server answers at gpu:8001. Start it with"),
        (None, "no server answers at gpu:8001"),
    ],
)
def test_an_unreachable_server_says_what_to_do(message: str | None, text: str) -> None:
    def live() -> None:
        raise GrpcFailureError("UNAVAILABLE", message)

    assert str(explained("UNAVAILABLE", "Socket closed", live)).startswith(text)
    assert str(explained("CANCELLED", "CANCELLED", live)).startswith(text)  # by its end


@pytest.mark.parametrize(
    ("certified", "what", "remedy"),
    [
        (None, "does not speak gRPC, or speaks it only over TLS", "Triton's gRPC port is 8001"),
        (False, "requires a client certificate", "Give --tls-cert and --tls-key, or Tls("),
        (
            *(True, "does not accept this client's certificate"),
            "Give one that its authority signed, with --tls-cert and --tls-key, or Tls(",
        ),
    ],
)
def test_a_closed_connection_has_a_reason_for_each_kind_of_client(
    certified: bool | None, what: str, remedy: str
) -> None:
    found = errors.unreachable("gpu:8001", "gpu:8001: Socket closed", certified=certified)
    assert found.what == f"the server at gpu:8001 {what}"
    assert (found.remedy or "").startswith(remedy)


@pytest.mark.parametrize(
    "message",
    ["Cannot check peer: missing selected ALPN property.", "Failed parsing HTTP/2 (Expected SET"],
)
def test_a_page_with_tls_is_not_asked_with_tls_again(message: str) -> None:
    found = errors.unreachable("gpu:443", message, certified=False)
    assert str(found) == (
        "the server at gpu:443 does not speak gRPC. "
        "Triton's gRPC port is 8001 by default; 8000 is HTTP."
    )


def test_the_host_is_the_one_that_was_given_and_may_be_two_addresses() -> None:
    """gRPC names the last address that it tried, at which the server need not listen."""
    said = "failed to connect to all addresses; last error: ipv6:%5B::1%5D:8001: refused"
    found = errors.unreachable("localhost:8001", said)
    assert str(found) == (
        "no server answers at localhost:8001. Start it with: resnet-serve up. If it runs, "
        "try 127.0.0.1:8001 or [::1]:8001: localhost can be both"
    )
    assert "[::1]" not in str(errors.unreachable("gpu:8001", said))


@pytest.mark.parametrize("status", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_a_full_queue_has_its_remedy(status: str) -> None:
    found = explained(status, "[request id: 3] Exceeds maximum queue size")
    assert type(found) is errors.UnavailableError
    assert str(found) == (
        "the server at gpu:8001 accepts no requests now: Exceeds maximum queue size. "
        "Its queue is full: send less at once, or allow a longer timeout."
    )
    other = explained("RESOURCE_EXHAUSTED", "Received message larger than max (9 vs. 8)")
    assert type(other) is errors.ServerError


def test_the_request_id_is_left_out() -> None:
    found = explained("INTERNAL", "[request id: <id_unknown>] [request id: 7] out of memory")
    assert found.what == "out of memory"
    full = "in ensemble 'net_image', [request id: 7] Exceeds maximum queue size"
    found = explained("UNAVAILABLE", full)
    assert found.what == "in ensemble 'net_image', Exceeds maximum queue size"
