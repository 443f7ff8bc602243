"""However its parent ends, nothing is left of a server; and a detached one is found and stopped."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from patience import PATIENCE_S, until
from ports import three_ports
from tiny_repository import IMAGE, Processes, fill, labels_of

from resnet_serve.errors import UsageError
from resnet_serve.triton.server import Server, running, stop_detached
from resnet_serve.triton.supervision import detached

pytestmark = pytest.mark.triton

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
from resnet_serve.triton.server import Server
server = Server(sys.argv[1], port=int(sys.argv[2]))
print("starting", flush=True)
server.start(detach="--detach" in sys.argv)
print("ready", server.grpc, flush=True)
if "--detach" not in sys.argv:
    server.wait()
"""


@dataclass(frozen=True)
class Parent:
    """A Python process of its own session that has started a server."""

    process: subprocess.Popen[str]
    repository: Path

    def supervisor(self) -> int:
        """The process id of the supervisor: the parent's only child."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("resnet-serve-*")}


@dataclass(frozen=True)
class Ended:
    """What a parent had running just before it was ended."""

    parent: Parent
    processes: Processes
    regions: set[str]
    scratch: Path

    @classmethod
    def of(cls, parent: Parent, folder: Path) -> Ended:
        processes = Processes.of(parent.repository)
        text = " ".join(processes.commands.values())
        regions = {name for name in shared_memory() if name.rpartition("_")[0] in text}
        return cls(parent, processes, regions, folder / "tmp")


def launch(folder: Path, *options: str, until_line: str = "ready", port: int = 0) -> Parent:
    repository = fill(folder / "repository")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(repository), str(port), *options],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**environment, "XDG_STATE_HOME": str(folder / "state")},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(until_line):
            break
    return Parent(process, repository)


WAYS_TO_END = {
    "SIGTERM": signal.SIGTERM,
    "SIGKILL": signal.SIGKILL,
    "Ctrl-C": signal.SIGINT,
    "supervisor killed": None,
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ended]]:
    """One server for each way to end, all at once: the waiting is shared."""
    folders = {way: tmp_path_factory.mktemp("ended") for way in WAYS_TO_END}
    with ThreadPoolExecutor(len(folders)) as pool:
        parents = dict(zip(folders, pool.map(launch, folders.values()), strict=True))
    before = {way: Ended.of(parent, folders[way]) for way, parent in parents.items()}
    for way, parent in parents.items():
        number = WAYS_TO_END[way]
        if number is None:
            os.kill(parent.supervisor(), signal.SIGKILL)
        else:  # a Ctrl-C goes to everything in the terminal's foreground group
            os.killpg(parent.process.pid, number)
    yield before
    for parent in parents.values():
        parent.process.kill()
        parent.process.wait()


@pytest.mark.parametrize("way", WAYS_TO_END)
def test_nothing_is_left(ended: dict[str, Ended], way: str) -> None:
    was = ended[way]
    for program in ("supervision.supervisor", "bin/tritonserver ", "triton_python_backend_stub "):
        assert was.processes.named(program)
    assert was.regions
    number = WAYS_TO_END[way]
    status = was.parent.process.wait(timeout=PATIENCE_S)
    assert status == (1 if number is None else -number)
    assert was.processes.gone()
    assert until(lambda: not shared_memory() & was.regions)
    assert until(lambda: not [path for path in was.scratch.iterdir() if path.is_dir()])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_of_a_start_that_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    started = launch(tmp_path, until_line="starting")
    assert until(lambda: bool(Processes.of(started.repository).named("bin/tritonserver ")))
    processes = Processes.of(started.repository)
    started.process.send_signal(number)
    assert started.process.wait(timeout=PATIENCE_S) == -number
    assert processes.gone()
    assert until(lambda: not [path for path in (tmp_path / "tmp").iterdir() if path.is_dir()])


def test_detached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    started = launch(tmp_path, "--detach")
    assert started.process.wait(timeout=PATIENCE_S) == 0
    found = running(started.repository)
    assert found is not None
    processes = Processes.of(started.repository)
    assert {found.supervisor.pid, found.server.pid} <= set(processes.commands)
    try:
        assert found.models == {"mean": ("2",)}
        assert found.version == "2.51.0"
        assert labels_of(found, IMAGE) == ["middle", "right", "left"]
        file = detached.state_file(started.repository)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert found.log == file.with_suffix(".log")
        with pytest.raises(UsageError, match="already serves this repository"):
            Server(started.repository, port=0).start(detach=True)
        assert running(tmp_path) is None
        # Another process that was given the same id is not ours.
        saved = json.loads(file.read_text())
        other = {**saved, "supervisor": {**saved["supervisor"], "born": "another boot:1"}}
        file.write_text(json.dumps(other))
        assert running(started.repository) is None
        file.write_text(json.dumps(saved))
    finally:
        assert stop_detached(started.repository)
    assert not processes.left()
    assert running(started.repository) is None
    assert not stop_detached(started.repository)


@pytest.mark.parametrize("what", ["down", "up"])
def test_nothing_is_left_of_a_detached_server_whose_supervisor_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The next command on the repository waits for the server's end and removes its files."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    started = launch(tmp_path, "--detach", port=(port := three_ports()))
    assert started.process.wait(timeout=PATIENCE_S) == 0
    found = running(started.repository)
    assert found is not None
    was = Ended.of(started, tmp_path)
    assert was.regions
    assert found.folder is not None
    assert found.folder.parent == was.scratch
    os.kill(found.supervisor.pid, signal.SIGKILL)
    assert until(lambda: not found.supervisor.alive)
    if what == "up":
        Server(started.repository, port=port).start(detach=True)
    assert stop_detached(started.repository) == (what == "up")
    assert not was.processes.left()
    assert not shared_memory() & was.regions
    assert not [path for path in was.scratch.iterdir() if path.is_dir()]


def test_a_damaged_state_file_is_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    file = detached.state_file(tmp_path)
    file.parent.mkdir()
    file.write_text('{"repository": ')
    assert running(tmp_path) is None
    assert not stop_detached(tmp_path)
