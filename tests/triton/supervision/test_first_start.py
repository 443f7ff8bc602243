"""A server that ends before it was ever ready: started once more where it crashed, else not."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from patience import PATIENCE_S, until
from scripted_server import QUICK, Start
from tiny_repository import IMAGE, LONG_WARM_UP, Processes, config, fill, labels_of

from resnet_serve.errors import HostError
from resnet_serve.triton.server import Server, running, stop_detached
from resnet_serve.triton.supervision import server_log, status
from resnet_serve.triton.supervision.detached import last_status
from resnet_serve.triton.supervision.orders import Policy
from resnet_serve.triton.supervision.status import Status


@pytest.mark.parametrize(
    ("word", "how", "why"),
    [
        ("SIGABRT", "by signal 6 (SIGABRT)", ""),
        ("stub", "with status 1", ": cannot load mean: Stub process 'mean_0_0' is not healthy"),
    ],
)
def test_a_first_start_that_crashed_is_repeated(
    supervise: Start, word: str, how: str, why: str
) -> None:
    supervised = supervise(f"{word} once")
    assert supervised.becomes(status.SERVING, 1)
    assert supervised.status.last.startswith(f"ended {how} at 20")
    assert f", before it was ready{why}, restart 1 in 0.05 s\n" in supervised.log
    # The status changes first.
    assert until(lambda: "resnet-serve: ready after" in supervised.log)
    os.kill(supervised.starts[1], signal.SIGKILL)
    assert supervised.becomes(status.SERVING, 2)
    assert until(lambda: "resnet-serve: ready again after" in supervised.log)
    supervised.end()
    assert supervised.process.stdout is not None
    told = supervised.process.stdout.read().decode().splitlines()
    assert told[0] == str(supervised.starts[0])
    assert "restart 1 in" in told[1], "the parent is told of no second process id"


@pytest.mark.parametrize(
    ("word", "code"), [("SIGABRT", 134), ("SIGKILL", 137), ("stub", 1), ("stuck", 143)]
)
def test_it_is_repeated_once(supervise: Start, word: str, code: int) -> None:
    supervised = supervise(word, replace(QUICK, unnoticed_s=0.3))
    assert supervised.process.wait(PATIENCE_S) == code
    assert len(supervised.starts) == 2
    last = supervised.status
    assert (last.state, last.restarts, last.server_pid) == (status.STOPPED, 1, 0)
    said = "a backend process has died while it loaded"
    assert last.last.startswith(said if word == "stuck" else "ended ")
    assert status.GIVING_UP not in supervised.log
    assert (said in server_log.reason(supervised.log, code)) is (word == "stuck")


@pytest.mark.parametrize(
    ("word", "policy"), [("SIGTERM", QUICK), ("SIGINT", QUICK), ("SIGABRT", Policy(most_quick=1))]
)
def test_it_is_not_repeated_where_that_is_not_wanted(
    supervise: Start, word: str, policy: Policy
) -> None:
    supervised = supervise(word, policy)
    assert supervised.process.wait(PATIENCE_S) == 128 + signal.Signals[word]
    assert len(supervised.starts) == 1
    assert (supervised.status.state, supervised.status.restarts) == (status.STOPPED, 0)


def test_a_server_that_waits_for_a_dead_backend_process_is_ended_and_started_again(
    supervise: Start,
) -> None:
    supervised = supervise("stuck once", replace(QUICK, unnoticed_s=0.3))
    assert supervised.becomes(status.SERVING, 1)
    what = "a backend process has died while it loaded"
    assert supervised.status.last.startswith(f"{what} at 20")
    assert f"{what}: the server is restarted\n" in supervised.log
    supervised.end()


def test_a_first_start_that_hangs_is_ended_and_not_repeated(supervise: Start) -> None:
    supervised = supervise("hang", Policy(ready_s=0.2))
    assert supervised.process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert (supervised.status.state, supervised.status.restarts) == (status.STOPPED, 0)
    assert "not ready within 0.2 s: the server is ended\n" in supervised.log


@dataclass
class Killing:
    """Ends the real server by a signal, `times` times while it loads; then it becomes ready."""

    folder: Path
    times: int
    killed: list[int] = field(default_factory=list)

    def server(self) -> Server:
        """With a model that takes for ever to load, until the last time."""
        fill(self.repository)
        self.config.rename(self.config.with_suffix(".kept"))
        self.config.write_text(config(rest=LONG_WARM_UP))
        made = Server(self.repository, port=0, log=self.log, progress=lambda *_: self.kill(made))
        return made

    def kill(self, server: Server) -> None:
        """Called while the server starts."""
        pid = server.status.server_pid
        loading = "loading: mean" in server_log.read(self.log)
        if loading and pid not in (0, *self.killed) and len(self.killed) < self.times:
            self.killed.append(pid)
            if len(self.killed) == self.times:
                self.config.with_suffix(".kept").rename(self.config)
            os.kill(pid, signal.SIGABRT)

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def config(self) -> Path:
        return self.repository / "mean/config.pbtxt"

    @property
    def log(self) -> Path:
        return self.folder / "log"


@pytest.mark.triton
def test_a_server_that_a_signal_ended_in_its_first_load_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    killing = Killing(tmp_path, times=1)
    server = killing.server().start(detach=True)
    try:
        assert labels_of(server, IMAGE) == ["middle", "right", "left"]
        found = running(killing.repository)
        assert found is not None
        assert found.server.alive
        assert found.server.pid not in killing.killed
        told = (last_status(killing.repository) or Status()).told()
        assert told.startswith("restarted once; last: ended by signal 6 (SIGABRT) at ")
    finally:
        stop_detached(killing.repository)
    assert ", before it was ready, restart 1 in 0.5 s" in killing.log.read_text()


@pytest.mark.triton
def test_but_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    killing = Killing(tmp_path, times=2)
    with pytest.raises(HostError) as failed:
        killing.server().start(known=True)
    assert (
        "the server did not start, nor when it was started again: "
        "tritonserver was ended by signal 6 (SIGABRT). Its log is "
    ) in str(failed.value)
    assert len(killing.killed) == 2
    assert last_status(killing.repository) is None, "nothing is told of a server that never was"
    assert not Processes.of(killing.repository).left()
