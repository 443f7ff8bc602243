"""The entry point of the serve image, run with the wheel's server instead of the container's."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from dockerfile import read
from patience import PATIENCE_S, until
from PIL import Image
from toy_repository import deploy_toy
from tritonclient.utils import InferenceServerException

from resnet_serve.triton import installation
from resnet_serve.triton.supervision import endpoints
from resnet_serve.triton.supervision.health.stubs import children

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "deploy" / "serve.sh"
SERVE = read((ROOT / "Dockerfile").read_text(encoding="utf-8"))[1][-1]


PACKAGES = {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}  # as the image sets it


@dataclass(frozen=True)
class Served:
    http: int
    grpc: int
    process: subprocess.Popen[str]
    folder: Path


def health(port: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """The image's own health check."""
    (step,) = SERVE.of("HEALTHCHECK")
    command = json.loads(step.rest.removeprefix("CMD "))
    command = [sys.executable, *command[1:], f"--url=127.0.0.1:{port}"]
    environment = {**os.environ, "MODEL_REPOSITORY": str(folder / "models")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Ready, on ports of its own: what `docker run` appends are options of the server."""
    folder = tmp_path_factory.mktemp("container")
    found = installation.find()
    backends = installation.build_backends(found, folder / "backends")
    (folder / "bin").mkdir()
    (folder / "bin" / "tritonserver").symlink_to(found.binary)
    _, (http, grpc, metrics) = endpoints.claim_ports("127.0.0.1", 0)
    environment = found.environment()
    environment |= PACKAGES | {
        "PATH": f"{folder / 'bin'}{os.pathsep}{environment['PATH']}",
        "MODEL_REPOSITORY": str(deploy_toy(folder / "models")),
        "RESNET_SERVE_KEY": "secret",
    }
    options = [
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-region-prefix-name=dockerfile_{os.getpid()}_",
        *(f"--{kind}-address=127.0.0.1" for kind in ("http", "grpc", "metrics")),
        *(f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"),
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [str(SCRIPT), *options], env=environment, cwd=folder, stdout=log, stderr=log, text=True
        )
    try:
        assert health(http, folder).returncode == 1, "not ready before it serves"
        deadline = time.monotonic() + PATIENCE_S
        while health(http, folder).returncode != 0:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.2)
        yield Served(http, grpc, process, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, "exec: the signal reaches the server itself"


@pytest.mark.triton
def test_the_entry_point_serves_labels(served: Served) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{served.grpc}") as client:
        image = triton.InferInput("image", [1, 1], "BYTES")
        image.set_data_from_numpy(np.array([[png()]], np.object_))
        top = triton.InferRequestedOutput("logits", class_count=1)
        answer = client.infer("toy_image", [image], outputs=[top]).as_numpy("logits")
    assert re.fullmatch(rb"[-\d.]+:\d+:class \d+", answer.ravel()[0])


@pytest.mark.triton
def test_the_health_check_infers(served: Served) -> None:
    done = health(served.http, served.folder)
    assert done.returncode == 0
    assert re.fullmatch(r"healthy: toy_image answers in \d+ ms\n", done.stdout)


@pytest.mark.triton
def test_a_server_that_crashes_is_restarted_in_the_container_too(served: Served) -> None:
    (server,) = children(served.process.pid)
    os.kill(server, signal.SIGKILL)
    assert until(lambda: "ready again after" in (served.folder / "log").read_text())
    log = (served.folder / "log").read_text()
    assert "resnet-serve: ended by signal 9 (SIGKILL) at " in log
    assert health(served.http, served.folder).returncode == 0
    (other,) = children(served.process.pid)
    assert other != server


@pytest.mark.triton
def test_what_changes_the_server_wants_the_key(served: Served) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{served.grpc}") as client:
        for call in (
            client.get_model_repository_index,
            client.get_system_shared_memory_status,
            client.get_trace_settings,
            client.get_log_settings,
            partial(client.load_model, "toy"),
        ):
            with pytest.raises(InferenceServerException, match="restricted"):
                call()
            call(headers={f"triton-grpc-protocol-{endpoints.KEY_HEADER}": "secret"})
    request = urllib.request.Request(
        f"http://127.0.0.1:{served.http}/v2/repository/index", method="POST"
    )
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request)
    assert refusal.value.code == 403


def test_the_entry_point_is_what_up_does_but_listens_outside() -> None:
    text = SCRIPT.read_text()
    up = (ROOT / "resnet_serve/triton/supervision/process.py").read_text()
    for option in ("model-control-mode=explicit", "exit-on-error=true", "strict-readiness=true"):
        assert f"    --{option} \\\n" in text
        assert f'"--{option}",' in up
    assert "    --load-model='*' \\\n" in text
    assert '"--load-model=*",' in up
    for kind in ("http", "grpc", "metrics"):
        assert f"--{kind}-address=0.0.0.0" in text
    assert os.access(SCRIPT, os.X_OK)


@pytest.mark.parametrize("given", [{}, {"RESNET_SERVE_KEY": "mine"}])
def test_without_a_key_nobody_knows_it(tmp_path: Path, given: dict[str, str]) -> None:
    (tmp_path / "tritonserver").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "tritonserver").chmod(0o755)
    beside = Path(sys.executable).parent  # python3, as in the container
    path = os.pathsep.join([str(tmp_path), str(beside), "/usr/bin", "/bin"])

    def key() -> str:
        """What the server has; the process list has another word in its place."""
        said = subprocess.check_output(
            [str(SCRIPT), "--log-verbose=1"],
            env={**PACKAGES, "PATH": path, **given},
            text=True,
            stderr=subprocess.STDOUT,
        )
        assert "--model-repository=/models\n" in said
        assert "\n--log-verbose=1\n" in said
        restricted = rf"{endpoints.RESTRICTED}:{endpoints.KEY_HEADER}=(\S+)"
        assert len(re.findall(restricted, said)) == 2
        keys = set(re.findall(restricted, said))
        assert len(keys) == 1
        return keys.pop()

    if given:
        assert key() == "mine"
    else:
        first, second = key(), key()
        assert first != second
        assert re.fullmatch(r"[0-9a-f]{32}", first)


def png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(data, "PNG")
    return data.getvalue()
