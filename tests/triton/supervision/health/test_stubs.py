"""Backend processes: found by their command line, and seen when they die."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import PATIENCE_S, until

from resnet_serve.triton.supervision.health.reload import Reloaded, Reloads
from resnet_serve.triton.supervision.health.stubs import PROGRAM, Stub, Stubs, children, stub_of
from resnet_serve.triton.supervision.orders import Orders
from resnet_serve.triton.supervision.status import StatusFile

# A server that starts two stubs and, as Triton 2.51, waits only for those that it ends itself.
SERVER = f"""
import subprocess, sys
words = ["/backends/python/{PROGRAM}", sys.argv[1], "shm", "1048576"]
stubs = [
    subprocess.Popen(
        [*words, f"toy_0_{{each}}", "/backends/onnxruntime"],
        executable="/bin/sh",
        stdin=subprocess.PIPE,
    )
    for each in range(2)
]
other = subprocess.Popen(["sleep", "60"])
print("started", flush=True)
for line in sys.stdin:
    stub = stubs.pop()
    stub.terminate()
    stub.wait()
    print("ended", flush=True)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    model = tmp_path / "repository/toy/3/model.onnx"
    model.parent.mkdir(parents=True)
    model.write_text("read nothing")  # a shell is the stub, and this its program
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture
def stubs(server: subprocess.Popen[str]) -> Stubs:
    found = Stubs(server.pid)
    assert until(lambda: len([pid for pid in children(server.pid) if stub_of(pid)]) == 2)
    found.refresh()
    return found


def test_the_command_line_names_the_model(server: subprocess.Popen[str], stubs: Stubs) -> None:
    assert {(stub.model, stub.instance) for stub in stubs.alive} == {
        ("toy", "toy_0_0"),
        ("toy", "toy_0_1"),
    }
    assert len(children(server.pid)) == 3
    assert stub_of(os.getpid()) is None
    assert stub_of(2**22 + 1) is None
    assert stubs.dead() == ()


def test_one_that_dies_is_seen_at_once_and_told_once(stubs: Stubs) -> None:
    victim = stubs.alive[0]
    os.kill(victim.pid, signal.SIGKILL)
    ready, _, _ = select.select(stubs.descriptors, [], [], PATIENCE_S)
    assert len(ready) == 1
    dead: list[Stub] = []
    assert until(lambda: bool(dead.extend(stubs.dead()) or dead))
    assert dead == [victim]
    assert not stubs.settling
    assert stubs.dead() == ()
    assert victim not in stubs.alive
    assert len(stubs.descriptors) == 1
    stubs.close()


def test_a_model_of_a_canary_that_has_ended_is_no_reason_for_a_restart(tmp_path: Path) -> None:
    """The change that ended it unloads it in the end; until then it cannot be loaded again."""
    (tmp_path / "repository/net.canary-1").mkdir(parents=True)
    said: list[str] = []
    orders = Orders([], {}, "/", str(tmp_path), "none_")
    reloads = Reloads(orders, StatusFile(None), said.append, lambda _: None)
    failed = "failed to poll from model repository"
    assert reloads.done(Reloaded(("net_preprocess.canary-2",), 0.1, failed)) is None
    assert len(said) == 1
    assert "left as it is" in said[0]
    for model in ("net", "net.canary-1"):
        what = f"{model} could not be loaded again ({failed})"
        assert reloads.done(Reloaded((model,), 0.1, failed)) == what


def test_one_that_its_server_ends_has_not_died(server: subprocess.Popen[str], stubs: Stubs) -> None:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("\n")
    server.stdin.flush()
    assert server.stdout.readline() == "ended\n"
    assert stubs.dead() == ()
    assert not stubs.settling
    assert len(stubs.alive) == 1
    stubs.close()
