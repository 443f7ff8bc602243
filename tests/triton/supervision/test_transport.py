"""Beyond loopback with TLS or on purpose; the real server with both, and on IPv6."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import tritonclient.grpc as triton
from certificates import expire, make
from patience import PATIENCE_S, until
from tiny_repository import IMAGE, fill, labels_of
from tritonclient.utils import InferenceServerException

from resnet_client.transport import channel
from resnet_client.transport.connection import Connection
from resnet_serve.errors import InputFileError, UnavailableError, UsageError
from resnet_serve.triton.client_tls import ClientTls
from resnet_serve.triton.grpc_client import GrpcClient
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.transport import Tls, is_loopback, require_safe, tls
from resnet_serve.web.places import Places


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`authority`, and `server` and `client`, which it signed: files `NAME.pem` and `NAME.key`."""
    folder = tmp_path_factory.mktemp("certificates")
    make(folder)
    return lambda name: folder / name


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        *(("127.0.0.1", True), ("127.8.9.10", True), ("::1", True), ("localhost", True)),
        *(("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("", False)),
        ("no-such-host.invalid", True),
    ],
)
def test_what_is_loopback(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


def test_beyond_loopback_needs_tls_or_the_word(certificates: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError, match="Give --tls-cert and --tls-key, or --insecure"):
        require_safe("0.0.0.0", None, insecure=False)
    require_safe("0.0.0.0", None, insecure=True)
    require_safe("127.0.0.1", None, insecure=False)
    used = tls(certificates("server.pem"), certificates("server.key"), None)
    require_safe("0.0.0.0", used, insecure=False)


def test_files_that_make_no_tls(certificates: Callable[[str], Path], tmp_path: Path) -> None:
    server, key = certificates("server.pem"), certificates("server.key")
    assert tls(None, None, None) is None
    for some in ((server, None, None), (None, key, None), (None, None, server)):
        with pytest.raises(UsageError, match="Give --tls-cert and --tls-key"):
            tls(*some)
    (tmp_path / "text").write_text("hello")
    for wrong in (
        (server, certificates("client.key")),
        (key, server),
        (tmp_path / "text", key),
        (tmp_path / "nothing", key),
        (tmp_path, key),
    ):
        with pytest.raises(InputFileError, match="two PEM files that belong together"):
            tls(*wrong, None)
    with pytest.raises(InputFileError, match="Give --tls-ca"):
        tls(server, key, tmp_path / "text")


def test_what_has_expired_is_refused(tmp_path: Path) -> None:
    """Triton would start with it, and no client could connect; so it is not started."""
    make(tmp_path)
    server, key = tmp_path / "server.pem", tmp_path / "server.key"
    expired, authority = expire(tmp_path, "server"), expire(tmp_path, "authority")
    assert tls(server, key, tmp_path / "authority.pem") is not None
    with pytest.raises(
        InputFileError, match="every client refuses it: certificate has expired"
    ) as refused:
        tls(expired, key, None)
    assert refused.value.where == str(expired)
    assert refused.value.remedy == (
        f"Renew it; its dates: openssl x509 -noout -dates -in {expired}"
    )
    with pytest.raises(
        InputFileError, match="no client can be accepted: certificate has expired"
    ) as refused:
        tls(server, key, authority)
    assert refused.value.where == str(authority)


def refused(url: str, authority: Path, own: tuple[Path | None, Path | None], said: str) -> bool:
    """Whether the commands of this package say this, and the Python client too.

    On a busy host it may have no connection in time.
    """
    commands = GrpcClient(url, ClientTls(authority, *own))
    with contextlib.closing(commands), pytest.raises(UnavailableError, match=re.escape(said)):
        commands.configuration("mean")
    client = Connection(url, timeout_s=1, tls=channel.Tls(authority, *own))
    with contextlib.closing(client), pytest.raises(UnavailableError) as failed:
        client.latest("mean")
    return said in str(failed.value)


@pytest.mark.triton
def test_clients_need_a_certificate(certificates: Callable[[str], Path], tmp_path: Path) -> None:
    """Mutual TLS at an address beyond loopback; HTTP and metrics are not there."""
    files = [certificates(name) for name in ("server.pem", "server.key", "authority.pem")]
    with Server(
        fill(tmp_path / "models"), port=0, drain_s=0, address="0.0.0.0", tls=Tls(*files)
    ) as server:
        ours = {
            "root_certificates": str(files[2]),
            "private_key": str(certificates("client.key")),
            "certificate_chain": str(certificates("client.pem")),
        }
        with triton.InferenceServerClient(server.grpc, ssl=True, **ours) as client:
            assert client.is_model_ready("mean", client_timeout=PATIENCE_S)
        own = (files[2], certificates("client.pem"), certificates("client.key"))
        Places.given(None, server.grpc, None, tls_files=own).look()
        for less in ({}, {"ssl": True, "root_certificates": str(files[2])}):
            with (
                triton.InferenceServerClient(server.grpc, **less) as client,
                pytest.raises(InferenceServerException),
            ):
                client.is_model_ready("mean", client_timeout=3)
        (tmp_path / "other").mkdir()
        make(tmp_path / "other")
        other = (tmp_path / "other" / "client.pem", tmp_path / "other" / "client.key")
        for own, said in (
            ((None, None), "requires a client certificate. Give --tls-cert and --tls-key"),
            (other, "does not accept this client's certificate. Give one that its authority"),
        ):
            expected = f"the server at {server.grpc} {said}"
            assert until(partial(refused, server.grpc, files[2], own, expected)), said
        listening = Path(f"/proc/{server.status.server_pid}/net/tcp").read_text()
        for address, where in ((server.http, "0100007F"), (server.metrics, "0100007F")):
            assert f" {where}:{int(address.rpartition(':')[2]):04X} " in listening
        assert server.models == {"mean": ("2",)}


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.triton
@pytest.mark.skipif(not _has_ipv6(), reason="this host has no IPv6 loopback")
def test_ipv6_loopback(tmp_path: Path) -> None:
    with Server(fill(tmp_path / "models"), port=0, drain_s=0, address="::1") as server:
        assert all(each.startswith("[::1]:") for each in (server.http, server.grpc, server.metrics))
        assert labels_of(server, IMAGE) == ["middle", "right", "left"]
        assert server.models == {"mean": ("2",)}
        host, port = server.metrics.rsplit(":", 1)
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE_S).close()
