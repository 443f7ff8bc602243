"""`resnet-serve health` on a real server, on none, and what it imports."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from patience import PATIENCE_S
from toy_repository import deploy_toy

from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.health.stubs import children, stub_of
from resnet_serve.triton.supervision.orders import Policy

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    repository = deploy_toy(tmp_path_factory.mktemp("health") / "models")
    # Its supervisor makes no health checks, so that what is broken here stays broken; requests to
    # a backend process that is gone have no end to wait for.
    policy = Policy(most_quick=1, check_s=0)
    with Server(repository, port=0, policy=policy, drain_s=1) as made:
        yield made


def health(
    server: Server, *words: str, key: str | None = "right", repository: str = "nowhere"
) -> tuple[int, str, str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("RESNET_SERVE_KEY", None)
    if key is not None:
        environment["RESNET_SERVE_KEY"] = server.endpoints.key if key == "right" else key
    done = subprocess.run(
        [
            *(sys.executable, "-m", "resnet_serve.cli", "health", "--url", server.http),
            *(*words, "--repository", repository),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=PATIENCE_S,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_all_models_that_clients_call(server: Server) -> None:
    code, out, _ = health(server)
    assert code == 0
    assert re.fullmatch(r"healthy: toy_image answers in \d+ ms\n", out)


@pytest.mark.parametrize("name", ["toy", "toy_preprocess"])
def test_one_model_needs_no_key(server: Server, name: str) -> None:
    code, out, _ = health(server, name, key=None)
    assert (code, out.split()[:2]) == (0, ["healthy:", name])


def test_without_the_key_the_repository_names_the_models(server: Server) -> None:
    code, out, _ = health(server, key="wrong", repository=str(server.repository))
    assert (code, out.split()[:2]) == (0, ["healthy:", "toy_image"])
    code, _, err = health(server, key=None)
    assert code == 2
    assert "Name a model, or set RESNET_SERVE_KEY" in err


def test_an_unknown_model(server: Server) -> None:
    code, out, _ = health(server, "nothing")
    assert code == 1
    assert out.startswith("not healthy: nothing: ")
    assert out.count("\n") == 1


def test_a_url_that_is_none(server: Server) -> None:
    code, _, err = health(server, "--url", "here")
    assert code == 2
    assert "Give --url HOST:PORT" in err


def test_nobody_listens(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    code, out, _ = health(server, "--url", f"http://127.0.0.1:{port}/")
    assert code == 1
    assert out == f"not healthy: 127.0.0.1:{port}: connection refused\n"


def test_ready_but_a_backend_process_is_gone(server: Server) -> None:
    """Triton says ready; the answer of the model says otherwise. The last test of this server."""
    endpoints = server.endpoints
    stubs = [found for pid in children(server.status.server_pid) if (found := stub_of(pid))]
    (victim,) = [stub for stub in stubs if stub.model == "toy"]
    os.kill(server._process.supervisor_pid, 19)  # type: ignore[union-attr] # it would heal it
    os.kill(victim.pid, 9)
    try:
        assert endpoints.ready()
        code, out, _ = health(server)
        assert code == 1
        assert out.startswith("not healthy: toy_image: ")
        assert "toy_0_0" in out
    finally:
        os.kill(server._process.supervisor_pid, 18)  # type: ignore[union-attr]


HEAVY = ("numpy", "torch", "PIL", "tritonclient", "google.protobuf", "onnx", "asyncio")


def test_it_imports_little() -> None:
    program = (
        "import sys, json; sys.argv = ['resnet-serve', 'health', '--help']\n"
        "from resnet_serve.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "Whether the server answers" in done.stdout
    assert not set(HEAVY) & set(json.loads(done.stderr))
