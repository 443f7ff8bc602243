"""The real server is killed, and so are its backend processes: it is soon itself again."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import PATIENCE_S, until
from tiny_repository import IMAGE, Processes, fill, labels_of
from toy_repository import deploy_toy

from resnet_serve.triton.server import Server, running, stop_detached
from resnet_serve.triton.supervision import status
from resnet_serve.triton.supervision.detached import last_status
from resnet_serve.triton.supervision.health.probe import HEADER_LENGTH, Probe, request_for
from resnet_serve.triton.supervision.health.stubs import Stub, children, stub_of
from resnet_serve.triton.supervision.orders import Policy
from resnet_serve.triton.supervision.program.launch import MOST_FILES
from resnet_serve.triton.supervision.status import Status

pytestmark = pytest.mark.triton
CHECK_S = 0.5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("recovery")
    repository = deploy_toy(fill(folder / "repository"))
    policy = Policy(quick_s=0, check_s=CHECK_S)
    with Server(repository, port=0, drain_s=0, log=folder / "log", policy=policy) as made:
        yield made


def probe(server: Server) -> Probe:
    endpoints = server.endpoints
    return Probe(endpoints.host, endpoints.http_port, endpoints.key)


def recovered(server: Server, restarts: int) -> Status:
    """The status once it serves again after so many restarts."""
    assert until(lambda: (server.status.state, server.status.restarts) == ("serving", restarts))
    return server.status


def test_the_probe_infers_on_every_model_that_clients_call(server: Server) -> None:
    asked = probe(server)
    assert asked.ready()
    assert asked.models() == ("mean", "toy", "toy_image", "toy_preprocess")
    assert asked.outer(asked.models()) == ("mean", "toy_image")
    before = asked.count("toy")
    answer = asked.ask("toy_image")
    assert (answer.healthy, answer.detail) == (True, "answers")
    assert asked.serves("toy", before)
    assert asked.ask("mean").healthy
    unknown = asked.ask("nothing")
    assert unknown.healthy is False
    assert "nothing" in unknown.detail


def test_a_model_that_answers_its_clients_is_not_asked(server: Server) -> None:
    asked = probe(server)

    def alone() -> bool:
        """Clients' requests were all that it answered; on a busy host they may pause."""
        before, sent, began = asked.count("mean"), 0, time.monotonic()
        while time.monotonic() - began < 5 * CHECK_S:
            sent += bool(asked.ask("mean").healthy)
        after = asked.count("mean")
        assert before is not None
        assert after is not None
        assert after.answered >= before.answered + sent
        return after.answered == before.answered + sent

    assert until(alone)
    before = asked.count("mean")
    assert until(lambda: asked.serves("mean", before)), "an idle one is asked"
    before = asked.count("toy_image")
    header, data = request_for(json.loads(asked.get("/v2/models/toy_image/config")[1]), b"no image")
    asked.post("/v2/models/toy_image/infer", header + data, {HEADER_LENGTH: str(len(header))})
    assert asked.ask("toy_image").healthy
    assert not asked.serves("toy_image", before), "it failed"
    assert not asked.serves("nothing", asked.count("nothing"))


def test_it_may_open_as_many_files_as_its_hard_limit_allows(server: Server) -> None:
    limits = Path(f"/proc/{server.status.server_pid}/limits").read_text()
    (soft, hard) = next(
        line.split()[3:5] for line in limits.splitlines() if line.startswith("Max open files")
    )
    assert int(soft) == min(int(hard), MOST_FILES)


def test_the_process_list_does_not_show_the_key(server: Server) -> None:
    processes = Processes.of(server.repository)
    assert server.status.server_pid in processes.commands
    assert not processes.named(server.endpoints.key)
    assert processes.named("resnet-serve-key=hidden")


def test_a_killed_server_is_back_on_the_same_ports(server: Server) -> None:
    before, addresses = server.status, (server.http, server.grpc, server.metrics)
    os.kill(before.server_pid, signal.SIGSEGV)
    after = recovered(server, before.restarts + 1)
    assert after.server_pid != before.server_pid
    assert "ended by signal 11 (SIGSEGV) at " in after.last
    assert after.recovery_s is not None
    assert (server.http, server.grpc, server.metrics) == addresses
    assert labels_of(server, IMAGE) == ["middle", "right", "left"]
    assert probe(server).ask("toy_image").healthy
    log = server.log.read_text()
    assert "ended by signal 11" in log
    assert f", restart {after.restarts} in " in log
    assert re.search(r"ready again after \d+\.\d s", log)
    # The dead server's backend processes are gone, and so is their shared memory.
    assert {stub.model for stub in stubs(server)} == {"mean", "toy", "toy_preprocess"}
    prefix = server.endpoints.server_id
    regions = {path.name.rpartition("_")[0] for path in Path("/dev/shm").glob(f"{prefix}*")}
    assert len(regions) <= 2 * len(stubs(server))


def stubs(server: Server) -> list[Stub]:
    return [found for pid in children(server.status.server_pid) if (found := stub_of(pid))]


def watched(server: Server) -> set[int]:
    """The processes for whose end the supervisor waits."""
    assert server._process is not None
    found = set[str]()
    for described in Path(f"/proc/{server._process.supervisor_pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):  # it has been closed meanwhile
            found |= {
                int(pid) for pid in re.findall(r"^Pid:\s*(\d+)$", described.read_text(), re.M)
            }
    return found


def test_a_killed_backend_process_is_seen_and_its_model_loaded_again(server: Server) -> None:
    """The other models go on; where it dies again soon, the server is restarted."""
    before = server.status

    def kill() -> None:
        (victim,) = [stub for stub in stubs(server) if stub.model == "toy_preprocess"]
        os.kill(victim.pid, signal.SIGKILL)

    kill()
    failures = []

    def loaded() -> bool:
        failures.extend(filter(None, [not probe(server).ask("mean").healthy]))
        return server.status.reloads == before.reloads + 1

    assert until(loaded)
    after = server.status
    assert (failures, after.restarts, after.server_pid) == ([], before.restarts, before.server_pid)
    assert after.dead_stubs == before.dead_stubs + 1
    assert after.reload_s is not None
    assert "toy_preprocess was loaded again in" in server.log.read_text()
    for asked in ("toy_image", "mean"):
        assert probe(server).ask(asked).healthy
    assert until(lambda: watched(server) >= {stub.pid for stub in stubs(server)})
    kill()
    after = recovered(server, before.restarts + 1)
    assert after.dead_stubs == before.dead_stubs + 2
    assert "the backend process of toy_preprocess_0_0 has died" in after.last
    for asked in ("toy_image", "mean"):
        assert probe(server).ask(asked).healthy


def test_list_and_down_tell_of_restarts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    repository = fill(tmp_path / "repository")
    policy = Policy(most_quick=2, quick_s=PATIENCE_S)  # on a busy host `list` takes long
    Server(repository, port=0, policy=policy).start(detach=True)
    try:
        found = running(repository)
        assert found is not None
        os.kill(found.server.pid, signal.SIGKILL)

        def now() -> Status:
            return last_status(repository) or Status()

        assert until(lambda: (now().state, now().restarts) == (status.SERVING, 1))
        assert "was restarted once; last: ended by signal 9 (SIGKILL)" in command(
            "list", repository
        )
        assert labels_of(found, IMAGE) == ["middle", "right", "left"]
        os.kill(now().server_pid, signal.SIGKILL)
        assert until(lambda: running(repository) is None)
        gave_up = "it was given up: 2 crashes in a row soon after the start"
        assert gave_up in command("down", repository)
    finally:
        stop_detached(repository)
    assert not last_status(repository)


def command(name: str, repository: Path) -> str:
    words = [sys.executable, "-m", "resnet_serve.cli", name, "--repository", str(repository)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout
