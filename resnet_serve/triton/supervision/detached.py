"""Servers that commands on their repository find: detached ones, and those in the foreground.

One state file per repository, in the user's state directory, holds the processes that serve it and
their addresses. A detached server outlives the command that started it. A process counts as ours
only if it is alive and started at the recorded time, because process ids are reused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from resnet_serve import durable
from resnet_serve.errors import HostError, UsageError
from resnet_serve.triton.supervision import servable
from resnet_serve.triton.supervision.endpoints import Endpoints
from resnet_serve.triton.supervision.orders import DRAIN_S, SCRATCH, SHARED_MEMORY
from resnet_serve.triton.supervision.status import STOPPED, Status

STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Process:
    """A process; `born` (boot id and start time) tells it from a later one with the same id."""

    pid: int
    born: str

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this id now."""
        return cls(pid, _born(pid) or "")

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self.born != "" and _born(self.pid) == self.born


def _born(pid: int) -> str | None:
    """Boot id and start time of a process; None when there is none or it is only a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # The name stands in parentheses and may hold anything, parentheses too.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"


@dataclass(frozen=True)
class Running:
    """A server: its repository, addresses, processes and log.

    `server` is the process that it was first ready with; `last_status` knows of later ones.
    `folder` has its temporary files; it is known of a server that was saved.
    """

    repository: Path
    endpoints: Endpoints
    supervisor: Process
    server: Process
    log: Path
    drain_s: float = DRAIN_S
    folder: Path | None = None

    @property
    def http(self) -> str:
        """Host and port of the HTTP protocol."""
        return self.endpoints.http

    @property
    def grpc(self) -> str:
        """Host and port of the gRPC protocol."""
        return self.endpoints.grpc

    @property
    def metrics(self) -> str:
        """Host and port of the Prometheus metrics (/metrics)."""
        return self.endpoints.metrics

    @property
    def beside(self) -> Path:
        """The server's last model repository, in the folder that its supervisor works in."""
        return servable.beside(self.folder or _folder_of(self.supervisor.pid))

    @property
    def version(self) -> str:
        """Triton's version, as the server reports it."""
        return self.endpoints.version()

    @property
    def models(self) -> dict[str, tuple[str, ...]]:
        """The models that are ready, each with its versions, oldest first."""
        return self.endpoints.models()

    def save(self) -> None:
        """Write the state file; only its owner may read it, because it holds the key."""
        path = state_file(self.repository)
        state = {
            **asdict(self),
            "repository": str(self.repository),
            "log": str(self.log),
            "folder": str(self.folder or _folder_of(self.supervisor.pid)),
        }
        with durable.explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.parent.chmod(0o700)
            durable.write(path, json.dumps(state, indent=2))
            path.chmod(0o600)

    @classmethod
    def load(cls, path: Path) -> Running | None:
        """Read a state file, whether its server is alive or not; None where that fails."""
        try:
            state = json.loads(path.read_text())
            return cls(
                Path(state["repository"]),
                Endpoints(**state["endpoints"]),
                Process(**state["supervisor"]),
                Process(**state["server"]),
                Path(state["log"]),
                float(state["drain_s"]),
                Path(state["folder"]) if "folder" in state else None,
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def state_directory() -> Path:
    """`resnet-serve` in XDG_STATE_HOME, or in ~/.local/state."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local/state") / "resnet-serve"


def state_file(repository: Path | str) -> Path:
    """The state file of a repository; the log is beside it, with the suffix `.log`."""
    name = hashlib.sha256(os.fsencode(Path(repository).resolve())).hexdigest()[:16]
    return state_directory() / f"{name}.json"


def status_file(repository: Path | str) -> Path:
    """The file in which the supervisor of this repository's server tells of restarts."""
    return state_file(repository).with_suffix(".status.json")


def last_status(repository: Path | str) -> Status | None:
    """What the supervisor of this repository's server last said; it may have ended."""
    return Status.read(status_file(repository))


def running(repository: Path | str) -> Running | None:
    """The server of this repository, if one is known and alive, however it was started."""
    found = Running.load(state_file(repository))
    return found if found is not None and found.supervisor.alive else None


def require_none(repository: Path) -> None:
    """Raise `UsageError` where a server is known; clear what a killed one has left."""
    if (other := running(repository)) is not None:
        raise UsageError(
            f"a server already serves this repository at {other.grpc}",
            where=repository,
            remedy="resnet-serve down stops it.",
        )
    clear(repository)


def keeps_state(*, required: bool = False) -> bool:
    """Whether a server can be made known: the state directory is there, or was made now.

    Raises `HostError` where it is `required` and cannot be written.
    """
    folder = state_directory()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = os.access(folder, os.W_OK | os.X_OK)
    if required and not kept:
        raise HostError(
            "a server in the background keeps its state here, and this folder cannot be written",
            where=folder,
            remedy="Set XDG_STATE_HOME to another one, or serve without --detach.",
        )
    return kept


def forget(repository: Path, supervisor: int) -> None:
    """Remove the state of a server that has ended, unless it is already another one's."""
    found, status = Running.load(state_file(repository)), last_status(repository)
    if found is None:  # it was never ready
        mine = status is not None and status.state == STOPPED
    else:
        mine = found.supervisor.pid == supervisor
    if mine:
        state_file(repository).unlink(missing_ok=True)
        status_file(repository).unlink(missing_ok=True)


def clear(repository: Path | str) -> None:
    """Remove the temporary files of a server whose supervisor was killed.

    The server ends then too; this waits for that, as long as its requests in flight may take.
    """
    found, status = Running.load(state_file(repository)), last_status(repository)
    if found is None or found.folder is None or found.supervisor.alive:
        return
    until = time.monotonic() + found.drain_s + STOP_TIMEOUT_S
    while status is not None and _works_in(status.server_pid, found.folder):
        if time.monotonic() > until:
            return
        time.sleep(0.05)
    if found.folder.name.startswith(SCRATCH):
        shutil.rmtree(found.folder, ignore_errors=True)
        for region in SHARED_MEMORY.glob(f"{found.endpoints.server_id}_*"):
            region.unlink(missing_ok=True)


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder
    except OSError:
        return False


def _folder_of(supervisor: int) -> Path:
    """The directory in which a supervisor works: that of its server's temporary files."""
    link = Path(f"/proc/{supervisor}/cwd")
    with durable.explained(link):
        return link.readlink()


def stop_detached(repository: Path | str) -> bool:
    """Stop the server of this repository, detached or not; False when there is none.

    What is left of one whose supervisor was killed is removed.

    Raises `HostError` if it does not stop within its time to drain and `STOP_TIMEOUT_S`.
    """
    found = running(repository)
    if found is None:
        clear(repository)
    else:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.supervisor.pid, signal.SIGTERM)
        limit_s = found.drain_s + STOP_TIMEOUT_S
        deadline = time.monotonic() + limit_s
        while found.supervisor.alive:
            if time.monotonic() > deadline:
                raise HostError(
                    f"the server did not stop within {limit_s:.0f} s",
                    where=f"process {found.supervisor.pid}",
                    remedy=f"Its log is {found.log}.",
                )
            time.sleep(0.05)
    state_file(repository).unlink(missing_ok=True)
    status_file(repository).unlink(missing_ok=True)
    return found is not None
