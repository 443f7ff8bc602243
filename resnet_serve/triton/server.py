"""The real tritonserver on a repository: start it, wait until it is ready, stop it.

    with Server("model_repository", port=0) as server:
        print(server.grpc, server.models)

It listens on loopback by default. Its supervisor ends the server and its stubs when this process
ends, for any reason; after `start(detach=True)` it keeps running. The key of the restricted
protocols is not on the process list.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

from resnet_serve.errors import HostError, UsageError
from resnet_serve.triton.installation import Installation, find
from resnet_serve.triton.supervision import server_log
from resnet_serve.triton.supervision.detached import (
    Process,
    Running,
    forget,
    keeps_state,
    require_none,
    running,
    state_file,
    status_file,
    stop_detached,
)
from resnet_serve.triton.supervision.endpoints import Endpoints, claim_ports
from resnet_serve.triton.supervision.log_file import open_log, remove
from resnet_serve.triton.supervision.orders import DRAIN_S, Policy
from resnet_serve.triton.supervision.process import ServerProcess
from resnet_serve.triton.supervision.servable import count_models
from resnet_serve.triton.supervision.status import GIVING_UP, SERVING, Status
from resnet_serve.triton.supervision.tracing.settings import UNTRACED, Tracing
from resnet_serve.triton.supervision.transport import Tls

__all__ = ["Running", "Server", "running", "stop_detached"]

# Called while the server starts: seconds so far, models loaded so far, models to load.
Progress = Callable[[float, tuple[str, ...], int], None]
Part = TypeVar("Part")

LOOPBACK = "127.0.0.1"
_POLL_S = 0.1
_PORT_ATTEMPTS = 3


class _PortLostError(Exception):
    """Another process bound a port between our check and the server's start."""


class Server:
    """One tritonserver on one repository.

    `port` is the HTTP port, gRPC and metrics use the next two; 0 stands for any free ones.
    `timeout_s` limits the wait until all models are ready. `log` is the file of the server's log;
    without it, a temporary one that is kept only when the server fails. `progress` is called while
    the server starts, `installation` is the tritonserver to use instead of the one found here.
    With `tls`, gRPC is served with TLS at `address`, and HTTP and metrics on loopback. Requests in
    flight have `drain_s` to finish when it is stopped; `policy` says when it is restarted. The
    metrics of its supervisor are at `status_port`, if not 0. Requests are traced as `tracing` says.
    """

    def __init__(
        self,
        repository: Path | str,
        *,
        port: int = 8000,
        address: str = "127.0.0.1",
        timeout_s: float = 120,
        log: Path | str | None = None,
        progress: Progress | None = None,
        installation: Installation | None = None,
        drain_s: float = DRAIN_S,
        tls: Tls | None = None,
        status_port: int = 0,
        policy: Policy | None = None,
        tracing: Tracing = UNTRACED,
    ) -> None:
        self.repository = Path(repository).absolute()
        self._port = port
        self._address = address
        self._timeout_s = timeout_s
        self._wanted_log = None if log is None else Path(log).absolute()
        self._progress = progress
        self._installation = installation
        self._drain_s = drain_s
        self._tls = tls
        self._status_port = status_port
        self._policy, self._tracing = policy, tracing
        self._endpoints: Endpoints | None = None
        self._process: ServerProcess | None = None
        self._log = Path()
        self._keep_log = False
        self._detached = self._known = False

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
    def version(self) -> str:
        """Triton's version, as the server reports it."""
        return self.endpoints.version()

    @property
    def models(self) -> dict[str, tuple[str, ...]]:
        """The models that are ready, each with its versions, oldest first."""
        return self.endpoints.models()

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._log

    @property
    def status(self) -> Status:
        """What its supervisor last said of it: restarts, failed canaries, its process id."""
        path = None if self._process is None else self._process.status_file
        return (None if path is None else Status.read(path)) or Status()

    @property
    def beside(self) -> Path:
        """The server's last model repository, where a new version is loaded from."""
        return self._needed(self._process).beside

    @property
    def endpoints(self) -> Endpoints:
        """Its addresses, and the key to its restricted protocols."""
        return self._needed(self._endpoints)

    def _needed(self, part: Part | None) -> Part:
        if part is None:
            raise UsageError("the server is not started", where=self.repository)
        return part

    def start(self, *, detach: bool = False, known: bool = False) -> Self:
        """Start the server; returns when every model is ready.

        Commands on the repository find a server that is `known`, as every detached one is. Raises
        `HostError` with the server's own reason where it does not start, and `UsageError`
        for a repository that has nothing to serve.
        """
        if self._process is not None:
            raise UsageError("the server is already started", where=self.repository)
        count = count_models(self.repository)
        log, self._known = self._wanted_log, (detach or known) and keeps_state(required=detach)
        if self._known:
            require_none(self.repository)
        if detach:
            log = log or state_file(self.repository).with_suffix(".log")
        installation = self._installation or find()
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._start_once(installation, count, log)
                break
            except _PortLostError as error:
                if self._port != 0 or attempt == _PORT_ATTEMPTS:
                    raise HostError(
                        f"{error} is already in use", remedy="Use --port 0 for any free ports."
                    ) from error
        if self._known:
            self._save(detach)
        return self

    def wait(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Block while the server runs or is restarted; `tell` gets a line for what happens.

        It returns when the server was told to stop, and raises `HostError` with the server's own
        reason when it has ended otherwise.
        """
        process, said = self._needed(self._process), [""]

        def heard(line: str) -> None:
            said[0] = line
            tell(line)

        if process.wait(heard) != 0 or said[0].startswith(GIVING_UP):
            raise self._failure("the server has died", process, said[0])

    def stop(self) -> None:
        """End the server and its stubs; does nothing where it is not started."""
        if self._detached:
            stop_detached(self.repository)
            self._detached = False
        if self._process is not None:
            self._process.end()
            if self._known:
                forget(self.repository, self._process.supervisor_pid)
            if not self._keep_log:
                remove(self._log)
        self._process = self._endpoints = None

    def __enter__(self) -> Self:
        return self if self._process else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start_once(self, installation: Installation, count: int, log: Path | None) -> None:
        # Triton has TLS for gRPC alone.
        private, public = (self._address, "") if self._tls is None else (LOOPBACK, self._address)
        address, (http_port, grpc_port, metrics_port) = claim_ports(private, self._port, public)
        endpoints = self._endpoints = Endpoints(
            address=address,
            http_port=http_port,
            grpc_port=grpc_port,
            metrics_port=metrics_port,
            server_id=f"resnet-serve-{secrets.token_hex(4)}",
            key=secrets.token_hex(16),
            grpc_address=public,
        )
        try:
            self._keep_log = log is not None
            with open_log(log) as output:
                self._log = Path(output.name)
                self._process = ServerProcess(
                    installation,
                    self.repository,
                    endpoints,
                    output,
                    status=status_file(self.repository) if self._known else None,
                    drain_s=self._drain_s,
                    options=() if self._tls is None else self._tls.options(),
                    status_port=self._status_port,
                    policy=self._policy,
                    tracing=self._tracing,
                )
            self._wait_until_ready(self._process, endpoints, count)
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self, process: ServerProcess, endpoints: Endpoints, count: int) -> None:
        started = time.monotonic()
        while True:
            # Its supervisor has seen it ready too, and restarts it from now on.
            ready = endpoints.ready() and self.status.state == SERVING
            ended = process.poll() is not None
            log = server_log.read(self._log)
            if ended or server_log.stub_failure(log) is not None:
                nor = ", nor when it was started again" if server_log.starts(self._log) > 1 else ""
                raise self._failure(f"the server did not start{nor}", process)
            elapsed_s = time.monotonic() - started
            if self._progress is not None:
                self._progress(elapsed_s, server_log.loaded(log), count)
            if ready:
                return
            if elapsed_s > self._timeout_s:
                self._keep_log = True
                waiting = ", ".join(sorted({*server_log.loading(log)} - {*server_log.loaded(log)}))
                still = f", still loading {waiting}" if waiting else ""
                told = f"; it was {told}" if (told := self.status.told()) else ""
                raise HostError(
                    f"the server was not ready within {self._timeout_s:g} s{still}{told}",
                    where=self.repository,
                    remedy=f"Its log is {self._log}",
                )
            time.sleep(_POLL_S)

    def _failure(self, what: str, process: ServerProcess, said: str = "") -> Exception:
        """The error with the server's own reason for its end, or what its supervisor `said`."""
        log = server_log.read(self._log)
        if socket := server_log.occupied_socket(log):
            return _PortLostError(socket)
        self._keep_log = True
        given_up = said.removeprefix(GIVING_UP) if said.startswith(GIVING_UP) else ""
        reason = given_up or server_log.reason(log, process.poll())
        reason = reason.replace(str(process.link), str(self.repository))
        return HostError(
            f"{what}: {reason}", where=self.repository, remedy=f"Its log is {self._log}"
        )

    def _save(self, detach: bool) -> None:
        process = self._needed(self._process)
        try:
            both = Process.of(process.supervisor_pid), Process.of(self.status.server_pid)
            Running(self.repository, self.endpoints, *both, self._log, self._drain_s).save()
            if detach:
                process.detach()
        except BaseException:
            self.stop()
            raise
        self._detached = detach
