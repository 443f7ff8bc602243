"""What the supervisor of the container reads from tritonserver's options."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S

from resnet_serve.triton.supervision.detached import running
from resnet_serve.triton.supervision.endpoints import KEY_HEADER, RESTRICTED
from resnet_serve.triton.supervision.foreground import make_known, orders
from resnet_serve.triton.supervision.orders import options


def test_both_ways_to_write_an_option() -> None:
    words = ["tritonserver", "--http-port", "1", "--http-port=2", "--log-verbose=1", "--strict"]
    assert options(words) == {"http-port": ["1", "2"], "log-verbose": ["1"], "strict": [""]}


def test_the_defaults_are_those_of_triton() -> None:
    made = orders(["tritonserver", "--model-repository=/models"], "/tmp/x")
    assert made.endpoints is not None
    assert (made.endpoints.http_port, made.endpoints.grpc_port) == (8000, 8001)
    assert made.endpoints.host == "127.0.0.1"
    assert made.command[:2] == ["tritonserver", "--model-repository=/models"]
    assert f"--id={made.endpoints.server_id}" in made.command
    assert "--exit-timeout-secs=20" in made.command
    assert made.shm_prefix.startswith("resnet-serve-")
    assert "--metrics-config=summary_latencies=true" in made.command
    assert any(word.startswith("--metrics-config=summary_quantiles=") for word in made.command)
    assert any(made.shm_prefix in word for word in made.command if "shm-region" in word)
    assert (made.log, made.status) == (None, None)


def test_what_changes_the_server_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_SERVE_KEY", "mine")
    made = orders(["tritonserver"], "/tmp/x")
    assert made.endpoints is not None
    assert made.endpoints.key == "mine"
    for protocol in ("http-restricted-api", "grpc-restricted-protocol"):
        assert f"--{protocol}={RESTRICTED}:{KEY_HEADER}=mine" in made.command
    monkeypatch.setenv("RESNET_SERVE_KEY", "")
    keys = {(orders(["tritonserver"], "/tmp/x").endpoints or made.endpoints).key for _ in range(2)}
    assert len(keys) == 2


def test_what_is_given_is_kept_and_the_last_counts() -> None:
    given = [
        "tritonserver",
        *("--http-port=1", "--http-port=9000", "--http-address=127.0.0.1", "--id=mine"),
        *("--exit-timeout-secs=60", "--backend-config=python,shm-region-prefix-name=p_"),
        "--http-restricted-api=model-repository,trace:resnet-serve-key=secret=1",
        "--metrics-config=summary_latencies=false",
        "--metrics-config=summary_quantiles=0.5:0.05",
    ]
    made = orders(given, "/tmp/x")
    assert made.command == given
    assert made.endpoints is not None
    assert (made.endpoints.http_port, made.endpoints.server_id) == (9000, "mine")
    assert made.endpoints.key == "secret=1"
    assert made.shm_prefix == "p_"
    assert made.drain_s >= 60


@pytest.mark.parametrize("prefix", ["", "--backend-config=python,shm-region-prefix-name="])
def test_the_shared_memory_of_others_is_never_removed(prefix: str) -> None:
    assert orders(["tritonserver", *filter(None, [prefix])], "/tmp/x").shm_prefix


def test_commands_in_the_container_find_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And can change it: there is a repository for the versions beside."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    models, scratch = tmp_path / "models", tmp_path / "scratch"
    models.mkdir()
    scratch.mkdir()
    words = ["tritonserver", f"--model-repository={models}", "--model-control-mode=explicit"]
    made = make_known(orders(words, str(scratch)), scratch)
    assert options(made.command)["model-repository"] == [
        *(str(models), str(scratch / "images"), str(scratch / "beside"))
    ]
    found = running(models)
    assert found is not None
    assert (found.endpoints, found.beside) == (made.endpoints, scratch / "beside")
    assert found.supervisor.pid == os.getpid()
    assert made.status is not None
    given = orders(words[:2], str(scratch))
    added = make_known(given, scratch).command[len(given.command) :]
    assert added == [f"--model-repository={scratch / 'images'}"], "it cannot be changed"
    for other in ([words[0], words[2]], [*words, "--model-repository=/more"]):
        given = orders(other, str(scratch))
        assert make_known(given, scratch) is given


@pytest.mark.parametrize(
    ("where", "kept"), [("-", 1), ("/logs/access.jsonl", "/logs/access.jsonl")]
)
def test_an_access_log(where: str, kept: str | int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert orders(["tritonserver"], "/tmp/x").access_log is None
    monkeypatch.setenv("RESNET_SERVE_ACCESS_LOG", where)
    made = orders(["tritonserver"], "/tmp/x")
    assert made.access_log == kept
    assert "--trace-config=triton,file=/tmp/x/requests/request" in made.command


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RESNET_SERVE_ACCESS_LOG", "/proc/none/access", "error: /proc/none"),
        (
            "RESNET_SERVE_STATUS_PORT",
            "TAKEN",
            "of the metrics: address already in use. Give RESNET_SERVE_STATUS_PORT a free port",
        ),
    ],
)
def test_what_cannot_be_opened_is_one_line(
    name: str, value: str, said: str, tmp_path: Path
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        given = value.replace("TAKEN", str(taken.getsockname()[1]))
        done = subprocess.run(
            [sys.executable, "-m", "resnet_serve.cli.servers.container", "false"],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "TMPDIR": str(tmp_path),
                name: given,
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert (done.returncode, done.stderr.count("\n")) == (4, 1), done.stderr
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []
