"""Who may reach the web application, and the command that starts it."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import in_process
import pytest
import shades
from certificates import make
from patience import PATIENCE_S, until
from web_servers import Command

from resnet_serve.cli.servers import browsing
from resnet_serve.errors import HostError, UsageError, unreachable
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.transport import Tls
from resnet_serve.web.places import Places
from resnet_serve.web.serving import Listening, WebServer, secured
from resnet_serve.web.settings import Settings

TOKEN = "0123456789abcdef"
ANYWHERE = Listening("0.0.0.0", 0)
UPGRADE = (
    b"GET /docs HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("certificates")
    make(folder)
    return lambda name: folder / name


def test_loopback_needs_no_token_and_knows_its_names() -> None:
    found = secured(Settings(), Listening(), insecure=False)
    assert found.token is None
    assert {"127.0.0.1", "localhost"} <= found.hosts
    assert secured(Settings(token=TOKEN), Listening(), insecure=False).token == TOKEN


def test_beyond_loopback_it_needs_tls_or_the_word_and_always_a_token(
    certificates: Callable[[str], Path],
) -> None:
    with pytest.raises(UsageError, match="--insecure"):
        secured(Settings(), ANYWHERE, insecure=False)
    first, second = (secured(Settings(), ANYWHERE, insecure=True) for _ in range(2))
    assert first.token != second.token
    assert len(first.token or "") >= 16
    assert first.hosts == frozenset()
    assert not first.secure
    with pytest.raises(UsageError, match="16"):
        secured(Settings(token="short"), ANYWHERE, insecure=True)
    tls = Tls(certificates("server.pem"), certificates("server.key"))
    assert secured(Settings(), Listening("0.0.0.0", 0, tls), insecure=False).secure


def test_the_token_is_in_no_representation() -> None:
    assert TOKEN not in repr(Settings(token=TOKEN))


def test_a_port_in_use_is_said_with_another_that_works() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = Listening(port=taken.getsockname()[1])
        with pytest.raises(HostError, match=r"already in use.*--port 0"):
            WebServer(Places(), Settings(), where)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--listen", "0.0.0.0"], 2, "--insecure"),
        (["--metrics", "127.0.0.1:8002"], 2, "--url"),
        (["--token-file", "absent"], 5, "absent"),
        (["--tls-cert", "absent"], 2, "--tls-key"),
        (["--concurrency", "0"], 2, "concurrency"),
        (["--url", "nowhere"], 2, "host:port"),
        (["--url", "127.0.0.1:9", "--server-ca", "absent"], 2, "absent"),
        (["--url", "127.0.0.1:9", "--server-cert", "absent"], 2, "its key are given together"),
        (["--listen", "192.0.2.1", "--insecure"], 4, "--listen 127.0.0.1"),
    ],
)
def test_what_the_command_refuses(
    options: list[str], code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = in_process.command("resnet-serve", ["web", "--port", "0", *options], capsys, tmp_path)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("certified", "message", "remedy"),
    [
        (None, "Socket closed", "TLS: --server-tls, or tls=True"),
        (False, "CERTIFICATE_VERIFY_FAILED", "(--server-ca, or Tls("),
        (False, "Socket closed", "Give --server-cert and --server-key, or"),
    ],
)
def test_an_error_of_triton_with_tls_names_the_options_of_this_command(
    certified: bool | None, message: str, remedy: str
) -> None:
    said = str(unreachable("gpu:8001", message, certified=certified))
    shown = browsing._with_options_of_web(said)
    assert remedy in shown
    assert "--tls" not in shown


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_when_it_is_told(tmp_path: Path, sent: signal.Signals) -> None:
    command = Command(tmp_path, "--url", "127.0.0.1:9")
    try:
        with urllib.request.urlopen(command.page, timeout=PATIENCE_S) as page:
            assert b"resnet-serve" in page.read()
        host, _, port = command.page.removeprefix("http://").rstrip("/").partition(":")
        for sent_bytes in (b"\x16\x03\x01 no HTTP\r\n\r\n", UPGRADE):
            with socket.create_connection((host, int(port)), PATIENCE_S) as client:
                client.sendall(sent_bytes)
                assert client.recv(99).startswith(b"HTTP/1.1 ")
    finally:
        code, errors = command.end(sent)
    said = "warning: no server answers at 127.0.0.1:9. Start it with: resnet-serve up\n"
    assert (code, errors) == (0, said), "nothing of what others send to the port"


def test_another_server_has_nothing_of_the_repository_beside_it(tmp_path: Path) -> None:
    """A model of the same name in the folder of the command need not be the one that is served."""
    assert Places.given(None, "127.0.0.1:9", None).deployed() == {}
    shades.deploy(tmp_path / "models")
    given = Places.given(tmp_path / "models", "127.0.0.1:9", "http://127.0.0.1:8/metrics")
    assert ("shades", "1") in given.deployed()
    assert given.address().metrics == "127.0.0.1:8"


def test_with_tls_and_the_token_of_the_page(
    tmp_path: Path, certificates: Callable[[str], Path]
) -> None:
    files = [f"--tls-cert={certificates('server.pem')}", f"--tls-key={certificates('server.key')}"]
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    command = Command(tmp_path, "--listen", "0.0.0.0", *files, "--token-file", "token")
    try:
        address, _, secret = command.page.partition("#token=")
        assert secret == TOKEN
        assert address.startswith("https://localhost:")
        trusted = ssl.create_default_context(cafile=str(certificates("authority.pem")))
        body = json.dumps({"token": secret}).encode()
        request = urllib.request.Request(f"{address}session", body)
        with urllib.request.urlopen(request, timeout=PATIENCE_S, context=trusted) as answer:
            assert "secure" in answer.headers["set-cookie"].lower()
    finally:
        code, errors = command.end(signal.SIGINT)
    assert (code, errors.count("\n")) == (0, 1)
    assert errors.startswith("warning: model_repository: no server runs on this repository. Start")


@pytest.mark.slow  # two starts of a server
@pytest.mark.triton
def test_the_server_of_a_repository_is_found_wherever_it_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused while there is none, and answers when there is one again, on other ports."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    shades.deploy(tmp_path / "models")
    command = Command(tmp_path, "--repository", "models", "--timeout", "3", token=TOKEN)
    image = shades.image(shades.LIGHT)

    def ask() -> tuple[int, dict[str, object]]:
        request = urllib.request.Request(
            f"{command.page.partition('#')[0]}classify?model=shades",
            image,
            {"Content-Type": "image/png", "Authorization": f"Bearer {TOKEN}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    try:
        status, answer = ask()
        assert status == 503
        assert "resnet-serve up --repository models" in str(answer["detail"])
        for _ in range(2):
            with Server(tmp_path / "models", port=0).start(known=True):
                assert until(lambda: ask()[0] == 200)
    finally:
        assert command.end(signal.SIGTERM)[0] == 0
