"""The real server: ready, restricted, refused with its own reason, and stopped."""

from __future__ import annotations

import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import tritonclient.grpc as triton
from patience import PATIENCE_S, until
from tiny_repository import (
    IMAGE,
    LONG_WARM_UP,
    Processes,
    config,
    fill,
    labels_of,
    mean_model,
    supervisors,
    write,
)
from tritonclient.utils import InferenceServerException

from resnet_serve.errors import HostError, UsageError
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision import server_log
from resnet_serve.triton.supervision.orders import Policy

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def progress() -> list[tuple[float, tuple[str, ...], int]]:
    return []


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, progress: list[tuple[float, tuple[str, ...], int]]
) -> Iterator[Server]:
    """One server for all tests that only look; it was started in a thread that has ended."""
    repository = fill(tmp_path_factory.mktemp("repository"))
    made = Server(repository, port=0, progress=lambda *seen: progress.append(seen))
    thread = threading.Thread(target=made.start)
    thread.start()
    thread.join()
    processes = Processes.of(repository)
    assert processes.named("bin/tritonserver ")
    try:
        yield made
    finally:
        made.stop()
    assert not processes.left()
    assert not made.log.exists()


def test_ready_and_classifies(server: Server) -> None:
    assert labels_of(server, IMAGE) == ["middle", "right", "left"]


def test_says_what_it_serves(server: Server) -> None:
    assert server.models == {"mean": ("2",)}
    assert server.version == "2.51.0"
    assert server.http.startswith("127.0.0.1:")
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=PATIENCE_S) as page:
        assert b"nv_inference_request_success" in page.read()


def test_reports_progress(
    server: Server, progress: list[tuple[float, tuple[str, ...], int]]
) -> None:
    assert {count for _, _, count in progress} == {1}
    assert progress[0][1] == ()
    assert progress[-1][1] == ("mean",)
    times = [elapsed_s for elapsed_s, _, _ in progress]
    assert times == sorted(times)


def test_a_second_start_is_refused(server: Server) -> None:
    with pytest.raises(UsageError, match="already started"):
        server.start()


RESTRICTED = {
    "/v2/repository/index": b"{}",
    "/v2/repository/models/mean/load": b"{}",
    "/v2/trace/setting": None,
    "/v2/logging": None,
    "/v2/systemsharedmemory/status": None,
}


@pytest.mark.parametrize("path", RESTRICTED)
def test_http_admin_protocols_need_the_key(server: Server, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{server.http}{path}", RESTRICTED[path], timeout=PATIENCE_S)
    assert refused.value.code == 403


@pytest.mark.parametrize(
    "ask",
    [
        triton.InferenceServerClient.get_model_repository_index,
        triton.InferenceServerClient.get_log_settings,
        triton.InferenceServerClient.get_trace_settings,
        triton.InferenceServerClient.get_system_shared_memory_status,
    ],
)
def test_grpc_admin_protocols_need_the_key(server: Server, ask: object) -> None:
    with (
        triton.InferenceServerClient(server.grpc) as client,
        pytest.raises(InferenceServerException, match="restricted"),
    ):
        ask(client)


def test_what_clients_and_perf_analyzer_need_is_open(server: Server) -> None:
    with triton.InferenceServerClient(server.grpc) as client:
        assert client.is_server_ready()
        assert client.is_model_ready("mean")
        assert client.get_model_metadata("mean").inputs[0].name == "x"
        assert client.get_model_config("mean").config.max_batch_size == 4
        assert client.get_inference_statistics("mean").model_stats[0].name == "mean"


def test_two_servers_side_by_side_and_one_dies(server: Server, tmp_path: Path) -> None:
    once = Policy(most_quick=1)
    with Server(server.repository, port=0, drain_s=0, log=tmp_path / "log", policy=once) as other:
        assert other.grpc != server.grpc
        assert labels_of(other, IMAGE) == labels_of(server, IMAGE)
        port = other.http.rpartition(":")[2]
        (theirs,) = Processes.of(server.repository).named(f"--http-port={port} ")
        os.kill(theirs, signal.SIGKILL)
        with pytest.raises(HostError, match=r"has died: .* signal 9 \(SIGKILL\)"):
            other.wait()
    other.stop()
    with pytest.raises(UsageError, match="not started"):
        _ = other.grpc
    assert labels_of(server, IMAGE) == ["middle", "right", "left"]


def three_free_ports() -> int:
    """The first of three that follow each other."""
    while True:
        with ExitStack() as stack, suppress(OSError):
            first = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for port in (first + 1, first + 2):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return int(first)


@pytest.mark.parametrize("role", ["HTTP", "gRPC", "metrics"])
def test_a_taken_port_is_named(server: Server, role: str) -> None:
    first = three_free_ports()
    port = first + ["HTTP", "gRPC", "metrics"].index(role)
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(HostError) as refused,
    ):
        Server(server.repository, port=first).start()
    assert f"port {port} ({role}) is already in use" in str(refused.value)
    assert "--port N" in str(refused.value)


def test_a_taken_port_of_the_supervisor_is_named(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(HostError) as refused:
        port = taken.getsockname()[1]
        Server(server.repository, port=0, status_port=port).start()
    assert str(refused.value).startswith(f"port {port} of the metrics: address already in use")
    assert refused.value.remedy == "Give --status-port a free port, or 0 for none."


def test_an_address_of_another_host(server: Server) -> None:
    with pytest.raises(HostError, match=r"192\.0\.2\.1: cannot listen"):
        Server(server.repository, port=0, address="192.0.2.1").start()


def test_a_repository_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such model repository"):
        Server(tmp_path / "nothing", port=0).start()


def test_an_empty_repository(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("no models yet")
    (tmp_path / "lost+found").mkdir()
    with pytest.raises(UsageError, match="has no model: nothing to serve"):
        Server(tmp_path, port=0).start()


def test_a_repository_with_an_awkward_path(tmp_path: Path) -> None:
    """Triton hands the path to a shell, unquoted."""
    repository = fill(tmp_path / "Jürgen's models; touch touched" / "$HOME")
    with Server(repository, port=0, drain_s=0, address="localhost") as awkward:
        assert labels_of(awkward, IMAGE) == ["middle", "right", "left"]
        assert awkward.grpc.startswith("127.0.0.1:")
    assert not (tmp_path / "touched").exists()


def test_a_model_with_an_awkward_name(tmp_path: Path) -> None:
    (tmp_path / "my model" / "1").mkdir(parents=True)
    with pytest.raises(UsageError, match="cannot serve a model named 'my model'"):
        Server(tmp_path, port=0).start()


def test_a_broken_model_s_reason_and_log(tmp_path: Path) -> None:
    before = supervisors()
    write(tmp_path, {"m/config.pbtxt": config() + "bogus: 3", "m/1/model.onnx": mean_model()})
    with pytest.raises(HostError) as refused:
        Server(tmp_path, port=0).start()
    message = str(refused.value)
    assert "cannot load m:" in message
    assert 'no field named "bogus"' in message
    log = Path(message.rpartition("Its log is ")[2])
    assert "Poll failed" in log.read_text()
    log.unlink()
    assert supervisors() == before


@pytest.mark.parametrize("killed", [False, True], ids=["slow", "killed-and-slow"])
def test_a_server_that_is_too_slow(killed: bool, tmp_path: Path) -> None:
    """The time counts on while it is started again."""
    before = supervisors()
    repository = fill(tmp_path / "repository")
    write(repository, {"mean/config.pbtxt": config(rest=LONG_WARM_UP)})
    log = tmp_path / "log"

    def loading(*_: object) -> None:
        """Wait until it has begun: on a busy machine that alone takes longer than the timeout."""
        assert until(lambda: "loading: mean" in server_log.read(log))
        if killed and not slow.status.restarts:
            assert until(lambda: slow.status.server_pid > 0)
            os.kill(slow.status.server_pid, signal.SIGABRT)
            assert until(lambda: server_log.starts(log) == 2)
            loading()

    slow = Server(repository, port=0, timeout_s=0.5, log=log, progress=loading)
    with pytest.raises(HostError) as late:
        slow.start()
    again = "; it was restarted once; last: ended by signal 6 (SIGABRT) at 20"
    assert f"not ready within 0.5 s, still loading mean{again if killed else '. '}" in str(
        late.value
    )
    assert supervisors() == before
