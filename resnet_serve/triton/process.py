"""One tritonserver process, held through its supervisor.

While this object's pipe is open the server lives; `end` closes it, and so does the end of this
process, whatever its cause.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from resnet_serve.errors import HostError
from resnet_serve.triton.endpoints import Endpoints
from resnet_serve.triton.installation import Installation, build_backends
from resnet_serve.triton.supervisor import DETACH, EXIT_TIMEOUT_S, Orders

_END_TIMEOUT_S = 10.0
# Loading through a stub is mostly waiting for it, a second and more for every model.
_LOAD_THREADS = 8
# Triton starts a stub with `bash -c`, and quotes none of the paths in it.
_PLAIN = re.compile(r"[A-Za-z0-9_.,:=@%+/-]+")


class ServerProcess:
    """A tritonserver on `repository`, listening at `endpoints`, its output in `log`."""

    def __init__(
        self, installation: Installation, repository: Path, endpoints: Endpoints, log: IO[bytes]
    ) -> None:
        self._scratch = _scratch()
        # The server sees the repository by a plain name, whatever the user calls it.
        self.link = self._scratch / "repository"
        try:
            self.link.symlink_to(repository, target_is_directory=True)
            backends = build_backends(installation, self._scratch / "backends")
            orders = _orders(installation, self.link, endpoints, backends)
            self._supervisor = subprocess.Popen(
                [sys.executable, "-P", "-m", "resnet_serve.triton.supervisor"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                cwd=self._scratch,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_paths())},
                # A Ctrl-C in the terminal is for us alone; we tell the supervisor.
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise
        try:
            self.server_pid = self._order(orders)
        except BaseException:
            self.end()
            raise

    def _order(self, orders: Orders) -> int:
        """Hand the orders over; returns the process id of the server."""
        stdin, stdout = self._supervisor.stdin, self._supervisor.stdout
        answer = ""
        if stdin is not None and stdout is not None:
            with contextlib.suppress(BrokenPipeError):
                stdin.write(orders.to_line())
                answer = stdout.readline().decode().strip()
            stdout.close()
        if not answer.isdigit():
            reason = answer.removeprefix("error ") or "its supervisor did not start"
            raise HostError(f"cannot be started ({reason})", where=orders.command[0])
        return int(answer)

    @property
    def supervisor_pid(self) -> int:
        return self._supervisor.pid

    def poll(self) -> int | None:
        """The server's exit status, 128 + n for signal n; None while it lives."""
        return self._supervisor.poll()

    def wait(self) -> int:
        """Block until the server has ended; returns its exit status."""
        status = self._supervisor.wait()
        # The supervisor has done this, unless it was killed.
        shutil.rmtree(self._scratch, ignore_errors=True)
        return status

    def detach(self) -> None:
        """Let the server live on without this process."""
        if self._supervisor.stdin is not None:
            self._supervisor.stdin.write(DETACH)

    def end(self) -> None:
        """End the server and return when it, its stubs and its files are gone."""
        if self._supervisor.stdin is not None:
            self._supervisor.stdin.close()
        try:
            self._supervisor.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            # The kernel then asks the server to exit.
            self._supervisor.kill()
            self._supervisor.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)


def plain(name: str) -> bool:
    """Whether a name reaches a stub unharmed: ASCII, no spaces, nothing a shell would read."""
    return _PLAIN.fullmatch(name) is not None


def _scratch() -> Path:
    path = Path(tempfile.mkdtemp(prefix="resnet-serve-"))
    if not plain(str(path)):
        path.rmdir()
        raise HostError(
            "Triton cannot start its Python stubs from a path with spaces or special characters",
            where=path.parent,
            remedy="Set TMPDIR to a path without them.",
        )
    return path


def _orders(
    installation: Installation, repository: Path, endpoints: Endpoints, backends: Path
) -> Orders:
    shm_prefix = f"{endpoints.server_id}_"
    scratch = str(backends.parent)
    return Orders(
        command=[
            str(installation.binary),
            f"--model-repository={repository}",
            f"--backend-directory={backends}",
            f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
            "--model-control-mode=none",
            "--exit-on-error=true",
            "--strict-readiness=true",
            f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
            f"--model-load-thread-count={_LOAD_THREADS}",
            *endpoints.options(),
        ],
        environment=installation.environment(),
        # A stub looks for modules in its working directory first: it has to be ours.
        directory=scratch,
        scratch=scratch,
        shm_prefix=shm_prefix,
    )


def _import_paths() -> list[str]:
    """Where this process imports from, for a child with another working directory."""
    return [str(Path(entry).absolute()) for entry in sys.path]
