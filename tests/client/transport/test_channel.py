"""Addresses, encryption, headers and keep-alive."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import pytest
from patience import PATIENCE_S, until
from scripted_triton import Reluctant, start

from resnet_client.errors import UnavailableError, UsageError
from resnet_client.transport.channel import Tls, checked_headers, open_channel
from resnet_client.transport.connection import Connection


@dataclass(frozen=True)
class Pair:
    """A certificate for localhost that signs itself, with its key."""

    certificate: Path
    key: Path

    @property
    def contents(self) -> tuple[bytes, bytes]:
        return self.key.read_bytes(), self.certificate.read_bytes()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates")
    made = {}
    for name in ("server", "client"):
        folder = tmp_path_factory.mktemp(name)
        made[name] = Pair(folder / "certificate.pem", folder / "key.pem")
        subprocess.run(
            shlex.split(
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                "-subj /CN=localhost -addext subjectAltName=DNS:localhost "
                f"-keyout {made[name].key} -out {made[name].certificate}"
            ),
            check=True,
            capture_output=True,
        )
    return made


@pytest.fixture
def encrypted(pairs: dict[str, Pair]) -> Iterator[str]:
    """A server on localhost that has a certificate, and wants one."""
    client = pairs["client"].certificate.read_bytes()
    credentials = grpc.ssl_server_credentials([pairs["server"].contents], client, True)
    server = start(Reluctant(), credentials=credentials)
    yield f"localhost:{server.port}"
    server.stop()


def latest(url: str, tls: Tls | None, timeout_s: float = PATIENCE_S) -> str:
    with closing(Connection(url, timeout_s=timeout_s, tls=tls)) as connection:
        return connection.latest("resnet50")


def test_both_sides_show_their_certificates(encrypted: str, pairs: dict[str, Pair]) -> None:
    ca, client = pairs["server"].certificate, pairs["client"]
    assert latest(encrypted, Tls(ca, client.certificate, client.key)) == "10"
    by_address = encrypted.replace("localhost", "127.0.0.1")
    assert latest(by_address, Tls(ca, client.certificate, client.key, name="localhost")) == "10"


def test_no_connection_without_the_right_certificates(
    encrypted: str, pairs: dict[str, Pair]
) -> None:
    ca, client, server = pairs["server"].certificate, pairs["client"], pairs["server"]
    # localhost has a second address, without a server: gRPC reports the one that it tried last.
    by_address = encrypted.replace("localhost", "127.0.0.1")
    closed = "does not speak gRPC, or speaks it only over TLS"
    for tls, said in (
        (None, closed),
        (Tls(), r"the certificate of the server at 127\.0\.0\.1:[0-9]+ is not accepted"),
        (Tls(ca, name="localhost"), r"requires a client certificate\. Give --tls-cert"),
        (
            Tls(ca, server.certificate, server.key, name="localhost"),
            r"does not accept this client's certificate\. Give one that its authority signed",
        ),
        (Tls(client.certificate, client.certificate, client.key), "is not accepted"),
        (Tls(ca, client.certificate, server.key), "certificate and key, cannot be used"),
        (Tls(client.key), "its authority, or this client's certificate and key, cannot be used"),
    ):
        assert until(partial(refused, by_address, tls, said)), said


def refused(url: str, tls: Tls | None, said: str) -> bool:
    """Whether this is said; on a busy host there may be no connection in time."""
    with pytest.raises(UnavailableError) as failed:
        latest(url, tls, timeout_s=0.5)
    return re.search(said, str(failed.value)) is not None


def test_the_authorities_that_the_host_knows_are_trusted(
    encrypted: str, pairs: dict[str, Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = pairs["client"]
    own = Tls(certificate=client.certificate, key=client.key)
    with pytest.raises(UnavailableError, match="is not accepted"):
        latest(encrypted, own)
    monkeypatch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(pairs["server"].certificate))
    assert latest(encrypted, own) == "10"


def test_tls_where_the_server_has_none_fails_at_once(pairs: dict[str, Pair]) -> None:
    server = start(Reluctant())
    with pytest.raises(UnavailableError, match=r"does not speak TLS\. Connect without TLS"):
        latest(server.url, Tls(pairs["server"].certificate))
    server.stop()


def test_files_of_certificates_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a client's certificate and its key are given together"):
        Tls(certificate=tmp_path)
    with pytest.raises(UsageError, match=r"none\.pem: cannot read \(No such file"):
        Tls(tmp_path / "none.pem").credentials()
    (tmp_path / "text.pem").write_text("certificate")
    with pytest.raises(UsageError, match=r"text\.pem: is not a PEM file"):
        Tls(tmp_path / "text.pem").credentials()


def test_headers_go_with_every_call() -> None:
    reluctant = Reluctant()
    server = start(reluctant)
    headers = checked_headers({"Authorization": "Bearer abc"})
    with closing(Connection(server.url, timeout_s=PATIENCE_S, headers=headers)) as connection:
        connection.latest("resnet50")
        connection.learn_server()
    server.stop()
    assert [dict(each).get("authorization") for each in reluctant.headers] == ["Bearer abc"] * 2


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"a b": "c"}, "'a b' is not the name of a header"),
        ({"": "c"}, "'' is not the name of a header"),
        ({1: "c"}, "1 is not the name of a header"),
        ({"grpc-timeout": "1"}, "'grpc-timeout' is reserved"),
        ({"x-bin": "1"}, "'x-bin' is reserved"),
        ({"x": "a\nb"}, "'x' is text of printable ASCII"),
        ({"x": "ä"}, "'x' is text of printable ASCII"),
        ({"x": None}, "'x' is text of printable ASCII"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused(headers: dict[str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        checked_headers(headers)


def test_an_idle_connection_is_kept_alive() -> None:
    """A server that allows the pings sees the same connection afterwards."""
    reluctant = Reluctant()
    allowed = [
        ("grpc.http2.min_ping_interval_without_data_ms", 10),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    server = start(reluctant, options=allowed)
    with closing(Connection(server.url, timeout_s=PATIENCE_S, keep_alive_s=0.05)) as connection:
        for _ in range(3):
            connection.latest("resnet50")
            reluctant.released.wait(0.2)
        assert connection.failures == 0
    server.stop()
    assert len(set(reluctant.peers)) == 1


@pytest.mark.parametrize("url", ["127.0.0.1", "http://a:1", "a:0", "a:65536", "", None, 8001])
def test_what_is_no_address_is_refused(url: object) -> None:
    with pytest.raises(UsageError, match="is not an address"):
        open_channel(url, None, None)  # type: ignore[arg-type]
