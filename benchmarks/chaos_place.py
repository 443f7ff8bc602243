"""What the chaos benchmark works on: a repository, its detached server, and clients of it.

    with opened(folder, threads=4) as place:
        place.start_clients(3)
        os.kill(place.server_pid, signal.SIGKILL)

The model has two versions which answer differently. Everything is done with the commands that users
have: `resnet-serve up --detach`, `promote`, `rollback`, `down`, each in a process of its own.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import chaos_clients
import versioned
from chaos_clients import MODEL

from resnet_serve.errors import HostError
from resnet_serve.triton.repository import Repository
from resnet_serve.triton.server import Running, running
from resnet_serve.triton.supervision.detached import last_status
from resnet_serve.triton.supervision.endpoints import claim_ports
from resnet_serve.triton.supervision.health.stubs import Stub, children, stub_of
from resnet_serve.triton.supervision.orders import SHARED_MEMORY
from resnet_serve.triton.supervision.status import Status

PATIENCE_S = 180.0
VERSIONS = (1, 2)
# The last client of each three gives up soon, so that failures are seen.
TIMEOUTS_S = (60.0, 60.0, 1.0)
_DRAIN_S = 5.0
_POLL_S = 0.02


@dataclass
class Client:
    """One client process; its answers are in `output`."""

    number: int
    process: subprocess.Popen[bytes]
    output: Path


@dataclass
class Place:
    """A repository in `folder`, served at `port`; `ups` counts the starts of a server."""

    folder: Path
    port: int
    repository: Repository
    threads: int = 4  # of each client
    change_drain_s: float = 1.0
    ups: int = 0
    clients: list[Client] = field(default_factory=list)
    outputs: list[Path] = field(default_factory=list)
    server_ids: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        """The address of the gRPC protocol."""
        return f"127.0.0.1:{self.port + 1}"

    @property
    def server(self) -> Running:
        """The detached server, whose supervisor is alive."""
        found = running(self.repository.path)
        if found is None:
            raise RuntimeError(f"no detached server runs on {self.repository.path}")
        return found

    @property
    def status(self) -> Status:
        """What its supervisor last said."""
        return last_status(self.repository.path) or Status()

    @property
    def served(self) -> int:
        """The version that the repository serves."""
        return next(each.version for each in self.repository.deployed() if each.served)

    def server_pid(self) -> int:
        """The process id of the server; waits where it is just being restarted."""
        wait_for(lambda: self.status.server_pid > 0, "a server")
        return self.status.server_pid

    def stubs(self) -> list[Stub]:
        """The backend processes of the server."""
        return [stub for pid in children(self.server_pid()) if (stub := stub_of(pid)) is not None]

    def up(self) -> None:
        """Start the server; while the one before it ends, its ports are not free."""
        self.ups += 1
        words = ("--detach", "--port", self.port, "--drain", _DRAIN_S)
        until = time.monotonic() + PATIENCE_S
        while self.command("up", *words).wait():
            if time.monotonic() > until:
                raise RuntimeError(f"the server does not start: {self.said()}")
            time.sleep(1)
        self.server_ids.add(self.server.endpoints.server_id)

    def left(self) -> list[str]:
        """Temporary folders and shared memory of servers that have ended."""
        regions = [region for each in self.server_ids for region in SHARED_MEMORY.glob(f"{each}_*")]
        folders = [each for each in _temporary(self.folder).iterdir() if each.is_dir()]
        return [str(each) for each in (*folders, *regions)]

    def command(self, name: str, *words: object) -> subprocess.Popen[bytes]:
        """Start `resnet-serve NAME WORDS` on the repository."""
        with (self.folder / "commands.log").open("ab") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "resnet_serve.cli", name, *map(str, words)),
                    *("--repository", str(self.repository.path)),
                ],
                stdout=log,
                stderr=log,
                env=self._environment(),
            )

    def said(self) -> str:
        """The last line that a command printed."""
        lines = (self.folder / "commands.log").read_text(encoding="utf-8").splitlines()
        return lines[-1] if lines else ""

    def change(self, version: int) -> subprocess.Popen[bytes]:
        """Begin to serve a version: an earlier one with rollback, others with promote."""
        name = "rollback" if version < self.served else "promote"
        return self.command(name, MODEL, version, "--drain", self.change_drain_s)

    def start_clients(self, count: int) -> None:
        """Start so many clients."""
        for number in range(count):
            self.clients.append(self._client(number))

    def replace_client(self, client: Client) -> None:
        """Start one in place of a client that has ended."""
        client.process.wait()
        self.clients[self.clients.index(client)] = self._client(client.number)

    def end_clients(self) -> None:
        """Let the clients end; those that do not are killed."""
        for client in self.clients:
            if client.process.stdin is not None:
                client.process.stdin.close()
        for client in self.clients:
            with contextlib.suppress(subprocess.TimeoutExpired):
                client.process.wait(PATIENCE_S)
            client.process.kill()
            client.process.wait()

    def _client(self, number: int) -> Client:
        output = self.folder / f"answers-{len(self.outputs)}.jsonl"
        output.touch()
        self.outputs.append(output)
        options = {
            "--timeout": TIMEOUTS_S[number % len(TIMEOUTS_S)],
            "--threads": self.threads,
            "--seed": len(self.outputs),
        }
        words = [str(word) for option in options.items() for word in option]
        process = subprocess.Popen(
            [sys.executable, chaos_clients.__file__, self.url, str(output), *words],
            stdin=subprocess.PIPE,
            env=self._environment(),
        )
        return Client(number, process, output)

    def _environment(self) -> dict[str, str]:
        """Our packages on the path, and a folder for temporary files that is looked at."""
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "COLUMNS": "160",
            "TMPDIR": str(_temporary(self.folder)),
        }


@contextlib.contextmanager
def opened(folder: Path, threads: int) -> Iterator[Place]:
    """Version 1 served, version 2 beside it; at the end nothing of it runs.

    The state of the detached server is in the folder too.
    """
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    _temporary(folder).mkdir()
    repository = Repository(folder / "models")
    for version in VERSIONS:
        versioned.deploy(repository, serve=version == VERSIONS[0])
    place = Place(folder, _three_ports(), repository, threads)
    try:
        place.up()
        yield place
    finally:
        place.end_clients()
        place.command("down").wait()
        if before is None:
            del os.environ["XDG_STATE_HOME"]
        else:
            os.environ["XDG_STATE_HOME"] = before


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return when the condition holds; raises `RuntimeError` where that takes too long."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(f"{what}: not within {PATIENCE_S:g} s")
        time.sleep(_POLL_S)


def _three_ports() -> int:
    """The first of three free ports, below those that the kernel gives to connections."""
    for port in random.SystemRandom().sample(range(15000, 30000), 100):
        with contextlib.suppress(HostError):
            claim_ports("127.0.0.1", port)
            return port
    raise RuntimeError("no three free ports in a row")


def _temporary(folder: Path) -> Path:
    return folder / "tmp"
