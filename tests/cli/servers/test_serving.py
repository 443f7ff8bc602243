"""`resnet-serve up` and `down` as a user meets them."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import versioned
from deployments import deployment
from in_process import command
from patience import PATIENCE_S
from ports import three_ports
from serve_command import environment, serve

from resnet_convert.ensembles import compose
from resnet_serve.triton.repository.repository import Repository
from resnet_serve.triton.supervision.health.probe import REQUEST_ID, Probe
from resnet_serve.triton.supervision.status import Status

pytestmark = pytest.mark.triton


@pytest.fixture
def foreground(tmp_path: Path, repository: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "resnet_serve.cli", "up", "--port", "0"),
            *("--access-log", "-", "--repository", repository),
        ],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_serves_until_it_is_told_to_stop(
    foreground: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert foreground.stdout is not None
    lines = [foreground.stdout.readline() for _ in range(4)]
    assert [line.split()[0] for line in lines] == ["gRPC", "HTTP", "Metrics", "Ctrl-C"]
    host, port = lines[0].split()[1].split(":")
    socket.create_connection((host, int(port)), timeout=PATIENCE_S).close()
    probe = Probe("127.0.0.1", int(lines[1].rpartition(":")[2]))
    assert probe.ask("digits").healthy
    logged = json.loads(foreground.stdout.readline())
    assert (logged["model"], logged["request_id"]) == ("digits", REQUEST_ID)
    foreground.send_signal(number)
    out, err = foreground.communicate(timeout=PATIENCE_S)
    assert foreground.returncode == 0, err
    assert "stopped" in out
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), timeout=PATIENCE_S)


def test_detach_list_and_down(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = three_ports()
    # With a log of its own, nothing but the state makes the folder of the state.
    words = ("--detach", "--log", tmp_path / "log", "--repository", repository)
    with monkeypatch.context() as patch:
        patch.setattr(Status, "told", lambda _: "restarted once")  # while it started
        up = serve(tmp_path, "up", "--port", 0, "--status-port", port, *words)
    assert up.returncode == 0, up.stderr
    assert "warning: the server was restarted once\n" in up.stderr
    try:
        address = f"http://127.0.0.1:{port}/metrics"
        assert f"Status  {address}\n" in up.stdout
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
            assert b"resnet_serve_up 1" in answer.read()
        listed = serve(tmp_path, "list", "--json", "--repository", repository)
        rows = json.loads(listed.stdout)["models"]
        assert [(row["model"], row["version"], row["precision"]) for row in rows] == [
            ("digits", 1, "fp32")
        ]
        shown = serve(tmp_path, "list", "--repository", repository)
        assert "digits" in shown.stdout
        assert "Served at 127.0.0.1:" in shown.stdout
    finally:
        down = serve(tmp_path, "down", "--repository", repository)
    assert (down.returncode, down.stdout.strip()) == (0, "stopped")
    assert "Started GRPCInferenceService" in (tmp_path / "log").read_text()
    again = serve(tmp_path, "down", "--repository", repository)
    assert again.returncode == 0
    assert "no server runs on" in again.stdout


def test_no_server_stays_in_the_background_without_state(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder would be")
    up = serve(tmp_path, "up", "--port", 0, "--detach", "--repository", repository)
    assert up.returncode == 4
    assert "state/resnet-serve: a server in the background keeps its state here" in up.stderr
    assert "Set XDG_STATE_HOME to another one" in up.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--access-log - --detach", "Give --access-log a file instead of -."),
        ("--access-log a --trace-otlp http://h/v1/traces", "Leave out --access-log or"),
        ("--trace-rate 5", "--trace-rate is an option of --trace-otlp"),
        ("--trace-otlp collector:4318", "http://127.0.0.1:4318/v1/traces"),
    ],
)
def test_up_refuses_what_cannot_be_traced(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = command("resnet-serve", ["up", *words.split(), "--repository", "."], capsys, tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_server_in_another_terminal_is_found_changed_and_stopped(
    tls: bool, tmp_path: Path
) -> None:
    place = Repository(tmp_path / "model_repository")
    versioned.deploy(place)
    versioned.deploy(place, serve=False)
    words = [sys.executable, "-m", "resnet_serve.cli", "up", "--port", "0"]
    if tls:
        made = "req -x509 -nodes -days 3650 -newkey ec -pkeyopt ec_paramgen_curve:P-256"
        files = ["-subj", "/CN=localhost", "-keyout", "x.key", "-out", "x.pem"]
        openssl = shutil.which("openssl") or pytest.skip("making certificates needs openssl")
        subprocess.run([openssl, *made.split(), *files], cwd=tmp_path, check=True, timeout=60)
        words += ["--tls-cert", "x.pem", "--tls-key", "x.key"]
    up = subprocess.Popen(
        words,
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert up.stdout is not None
        first, *_ = [up.stdout.readline() for _ in range(4)]
        address = first.split()[1]
        assert f"Served at {address}" in serve(tmp_path, "list").stdout
        second = serve(tmp_path, *words[3:])
        assert second.returncode == 2
        assert f"a server already serves this repository at {address}" in second.stderr
        changed = serve(tmp_path, "promote", "net", 2, "--drain", 0)
        assert changed.returncode == 0, changed.stderr
        assert f"net version 2 is the served version at {address}" in changed.stdout
        assert "3 example images are within the gate's budget" in changed.stdout
        assert serve(tmp_path, "down").stdout.strip() == "stopped"
        out, err = up.communicate(timeout=PATIENCE_S)
    finally:
        up.kill()
        up.wait()
    assert (up.returncode, err.strip()) == (0, "")
    assert out.splitlines()[-1] == "stopped"
    assert "Served at" not in serve(tmp_path, "list").stdout


def test_up_says_which_member_was_converted_again(repository: Path, tmp_path: Path) -> None:
    place = tmp_path / "models"
    shutil.copytree(repository, place)
    compose.ten_crop("digits", scales=(36,), repository=place)
    shutil.copytree(place / "digits" / "1", place / "digits" / "2")
    Repository(place).serve({"digits": 2})
    done = serve(tmp_path, "up", "--port", "0", "--repository", place)
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert (
        "digits_tencrop version 1: it was proved with digits version 1, which is at version 2. "
        "Compose it again with the present versions: resnet-convert ten-crop digits --scales 36 "
    ) in done.stderr


def test_up_names_the_served_version_of_an_earlier_resnet_serve(tmp_path: Path) -> None:
    place = Repository(tmp_path / "models")
    for mark in ("one", "two"):
        place.deploy(deployment(mark))
    refused = serve(tmp_path, "up", "--listen", "0.0.0.0", "--repository", place.path)
    assert refused.returncode == 2
    first, second = refused.stderr.splitlines()
    assert first.startswith("warning: net version 2: an earlier resnet-serve deployed it")
    assert first.endswith("resnet-serve promote net 2")
    assert "--insecure" in second
