"""One tritonserver process, started through its supervisor.

The server runs while the pipe to the supervisor is open. `end` closes the pipe; it also closes when
this process ends for any reason.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from resnet_serve.errors import HostError
from resnet_serve.triton.installation import Installation, build_backends
from resnet_serve.triton.supervision import servable
from resnet_serve.triton.supervision.endpoints import Endpoints
from resnet_serve.triton.supervision.orders import (
    DETACH,
    DRAIN_S,
    METRICS,
    SCRATCH,
    Orders,
    Policy,
    refused,
)
from resnet_serve.triton.supervision.servable import beside, plain
from resnet_serve.triton.supervision.tracing.settings import UNTRACED, Tracing

_END_TIMEOUT_S = 10.0
_EXIT_S = 2.0  # from the end of the last request to the end of the server
# Loading through a stub is mostly waiting for it.
_LOAD_THREADS = 8


class ServerProcess:
    """A tritonserver on `repository`, listening at `endpoints`, its output in `log`.

    `status` is the file that tells of restarts; without it, a temporary one. `options` are further
    ones of tritonserver.
    """

    def __init__(
        self,
        installation: Installation,
        repository: Path,
        endpoints: Endpoints,
        log: IO[bytes],
        *,
        status: Path | None = None,
        drain_s: float = DRAIN_S,
        options: Sequence[str] = (),
        status_port: int = 0,
        policy: Policy | None = None,
        tracing: Tracing = UNTRACED,
    ) -> None:
        self._scratch = _scratch()
        self._drain_s = drain_s
        self.status_file = status or self._scratch / "status.json"
        # The server gets a path without special characters, whatever the user's path is.
        self.link = servable.repository(self._scratch)
        try:
            self.link.symlink_to(repository, target_is_directory=True)
            servable.show_images(self._scratch, repository)
            beside(self._scratch).mkdir()
            backends = build_backends(installation, self._scratch / "backends")
            shown = [os.dup(1)] if tracing.to_output else []
            made = _orders(installation, self.link, endpoints, backends, drain_s)
            orders = replace(
                made,
                command=[*made.command, *options, *tracing.options(self._scratch)],
                status_port=status_port,
                access_log=shown[0] if shown else tracing.file,
                log=log.name,
                status=str(self.status_file),
                policy=policy or Policy(),
                # Of native backends it is not known what else they complete.
                quick_load=installation.native_backends is None,
            )
            self._supervisor = subprocess.Popen(
                [sys.executable, "-P", "-m", "resnet_serve.triton.supervision.supervisor"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                cwd=self._scratch,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_paths())},
                # Ctrl-C in the terminal reaches only this process, which ends the supervisor.
                start_new_session=True,
                pass_fds=shown,
            )
            for descriptor in shown:
                os.close(descriptor)
        except BaseException:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise
        try:
            self._order(orders)
        except BaseException:
            self.end()
            raise

    def _order(self, orders: Orders) -> None:
        """Send the orders; returns when the server is started, and is not ready yet."""
        stdin, stdout = self._supervisor.stdin, self._supervisor.stdout
        reply = ""
        if stdin is not None and stdout is not None:
            with contextlib.suppress(BrokenPipeError):
                stdin.write(orders.to_line())
                reply = stdout.readline().decode().strip()
        if not reply.isdigit():
            raise refused(reply, orders.command[0])

    @property
    def beside(self) -> Path:
        """The server's last model repository."""
        return beside(self._scratch)

    @property
    def supervisor_pid(self) -> int:
        """The process id of the supervisor."""
        return self._supervisor.pid

    def poll(self) -> int | None:
        """The server's exit status, 128 + n for signal n; None while it runs."""
        return self._supervisor.poll()

    def wait(self, tell: Callable[[str], None] = lambda _: None) -> int:
        """Block until the server has ended for good; returns its exit status.

        `tell` gets a line for every restart and what led to it.
        """
        for line in self._supervisor.stdout or ():
            tell(line.decode(errors="replace").strip())
        status = self._supervisor.wait()
        # The supervisor does this too, unless it is killed.
        shutil.rmtree(self._scratch, ignore_errors=True)
        return status

    def detach(self) -> None:
        """Keep the server running after this process ends."""
        if self._supervisor.stdin is not None:
            self._supervisor.stdin.write(DETACH)

    def end(self) -> None:
        """End the server; returns when it, its stubs and its temporary files are gone."""
        if self._supervisor.stdin is not None:
            self._supervisor.stdin.close()
        try:
            self._supervisor.wait(self._drain_s + _END_TIMEOUT_S)
        except KeyboardInterrupt:  # a second Ctrl-C: requests in flight get no answer
            self._supervisor.terminate()
            self._supervisor.wait()
        except subprocess.TimeoutExpired:
            # The kernel then sends SIGTERM to the server.
            self._supervisor.kill()
            self._supervisor.wait()
        if self._supervisor.stdout is not None:
            self._supervisor.stdout.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def _scratch() -> Path:
    path = Path(tempfile.mkdtemp(prefix=SCRATCH))
    if not plain(str(path)):
        path.rmdir()
        raise HostError(
            "Triton cannot start its Python stubs from a path with spaces or special characters",
            where=path.parent,
            remedy="Set TMPDIR to a path without them.",
        )
    return path


def _orders(
    installation: Installation,
    repository: Path,
    endpoints: Endpoints,
    backends: Path,
    drain_s: float,
) -> Orders:
    shm_prefix = f"{endpoints.server_id}_"
    scratch = str(backends.parent)
    return Orders(
        command=[
            str(installation.binary),
            f"--model-repository={repository}",
            f"--model-repository={servable.images(backends.parent)}",
            # Where a new version is loaded beside the served one (`triton/rollout`).
            f"--model-repository={beside(backends.parent)}",
            f"--backend-directory={backends}",
            f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
            "--model-control-mode=explicit",
            "--load-model=*",
            "--exit-on-error=true",
            "--strict-readiness=true",
            f"--exit-timeout-secs={math.ceil(drain_s)}",
            f"--model-load-thread-count={_LOAD_THREADS}",
            *(f"--metrics-config={setting}" for setting in METRICS),
            *endpoints.options(),
        ],
        environment=installation.environment(),
        # A stub imports from its working directory first, so it must be one of ours.
        directory=scratch,
        scratch=scratch,
        shm_prefix=shm_prefix,
        endpoints=endpoints,
        drain_s=drain_s + _EXIT_S,
    )


def _import_paths() -> list[str]:
    """This process's import path, absolute, for a child with another working directory."""
    return [str(Path(entry).absolute()) for entry in sys.path]
