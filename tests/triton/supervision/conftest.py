"""What the tests of the supervisor share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import QUICK, SCRIPT, Start, Supervised

from resnet_serve.triton.supervision.endpoints import Endpoints, claim_ports
from resnet_serve.triton.supervision.orders import Orders, Policy


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start(word: str, policy: Policy = QUICK, status_port: int = 0) -> Supervised:
        address, ports = claim_ports("127.0.0.1", 0)
        endpoints = Endpoints(address, *ports, server_id="scripted", key="key")
        (tmp_path / "scratch").mkdir()
        command = [sys.executable, str(SCRIPT), word, str(ports[0]), "scripted"]
        orders = Orders(
            command=[*command, str(tmp_path / "starts")],
            environment=dict(os.environ),
            directory=str(tmp_path),
            scratch=str(tmp_path / "scratch"),
            shm_prefix="resnet-serve-test-none_",
            endpoints=endpoints,
            log=str(tmp_path / "log"),
            status=str(tmp_path / "status.json"),
            status_port=status_port,
            policy=policy,
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "resnet_serve.triton.supervision.supervisor"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,
            bufsize=0,
        )
        started.append(process)
        assert process.stdin is not None
        process.stdin.write(orders.to_line())
        return Supervised(process, tmp_path)

    yield start
    for process in started:
        process.kill()
        process.wait()
