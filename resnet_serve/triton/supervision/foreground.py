"""The supervisor as the first process of a container: it runs tritonserver with the given options.

`resnet_serve.cli.servers.container` is the program, which first checks what will be served. The
output goes to stderr. SIGTERM ends the server, which has `--exit-timeout-secs` to answer the
requests in flight. Ports and addresses are read from the options. The protocols that change the
server need the key in RESNET_SERVE_KEY, or a random one. RESNET_SERVE_STATUS_PORT is the port of
the supervisor's own metrics, RESNET_SERVE_ACCESS_LOG the file of a line for each request, or `-`.
"""

from __future__ import annotations

import math
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from resnet_serve.errors import HostError
from resnet_serve.triton.supervision import servable
from resnet_serve.triton.supervision.detached import Process, Running, keeps_state, status_file
from resnet_serve.triton.supervision.endpoints import KEY_HEADER, RESTRICTED, Endpoints
from resnet_serve.triton.supervision.metrics import MetricsPortError
from resnet_serve.triton.supervision.orders import (
    DRAIN_S,
    METRICS,
    SCRATCH,
    Orders,
    Policy,
    options,
)
from resnet_serve.triton.supervision.program.parent import become_subreaper, install_signals
from resnet_serve.triton.supervision.supervisor import Supervisor
from resnet_serve.triton.supervision.tracing.settings import Tracing

_PREFIX = "python,shm-region-prefix-name="
_EXIT_S = 2.0
_STATUS_PORT = "RESNET_SERVE_STATUS_PORT"


def orders(command: Sequence[str], scratch: str) -> Orders:
    """Orders for this command, with an id, a time to drain and a name for its shared memory."""
    words = list(command)
    given = options(words)
    if "http-restricted-api" not in given:
        key = os.environ.get("RESNET_SERVE_KEY") or secrets.token_hex(16)
        restricted = f"{RESTRICTED}:{KEY_HEADER}={key}"
        words += [f"--http-restricted-api={restricted}", f"--grpc-restricted-protocol={restricted}"]
        given = options(words)
    identity = given.get("id", [f"resnet-serve-{secrets.token_hex(4)}"])[-1]
    if "id" not in given:
        words.append(f"--id={identity}")
    drain = given.get("exit-timeout-secs", [str(math.ceil(DRAIN_S))])[-1]
    if "exit-timeout-secs" not in given:
        words.append(f"--exit-timeout-secs={drain}")
    metrics = {each.partition("=")[0] for each in given.get("metrics-config", [])}
    words += [
        f"--metrics-config={each}" for each in METRICS if each.partition("=")[0] not in metrics
    ]
    # `-` or a file; the standard output is the container's own.
    tracing = Tracing(Path(where) if (where := os.environ.get("RESNET_SERVE_ACCESS_LOG")) else None)
    words += tracing.options(Path(scratch))
    prefixes = [each for each in given.get("backend-config", []) if each.startswith(_PREFIX)]
    # Without a prefix, the shared memory of other programs would be ours to remove.
    prefix = prefixes[-1].removeprefix(_PREFIX) if prefixes else ""
    if not prefix:
        prefix = f"{identity}_"
        words.append(f"--backend-config={_PREFIX}{prefix}")
    return Orders(
        command=words,
        environment=dict(os.environ),
        directory=os.getcwd(),  # noqa: PTH109 - a string for JSON
        scratch=scratch,
        shm_prefix=prefix,
        endpoints=_endpoints(given, identity),
        drain_s=float(drain) + _EXIT_S,
        status_port=int(os.environ.get(_STATUS_PORT) or 0),
        access_log=1 if tracing.to_output else tracing.file,
        policy=Policy(),
    )


def _endpoints(given: dict[str, list[str]], identity: str) -> Endpoints:
    def last(name: str, default: str) -> str:
        return given.get(name, [default])[-1]

    return Endpoints(
        address=last("http-address", "0.0.0.0").removeprefix("ipv6:"),  # noqa: S104 - Triton's own
        http_port=int(last("http-port", "8000")),
        grpc_port=int(last("grpc-port", "8001")),
        metrics_port=int(last("metrics-port", "8002")),
        server_id=identity,
        key=last("http-restricted-api", "").rpartition(f"{KEY_HEADER}=")[2],
    )


def main() -> int:
    """Run until the server has ended for good; returns its exit status."""
    wakeup = install_signals()
    become_subreaper()
    scratch = Path(tempfile.mkdtemp(prefix=SCRATCH))
    made = make_known(orders(sys.argv[1:], str(scratch)), scratch)
    try:
        supervisor = Supervisor(made, None, wakeup, os.getppid())
    except MetricsPortError as error:
        said = f"{error.what}. Give {_STATUS_PORT} a free port, or 0 for none."
    except OSError as error:
        said = f"{error.filename}: {(error.strerror or str(error)).lower()}"
    else:
        return supervisor.run()
    sys.stderr.write(f"error: {said}\n")
    shutil.rmtree(scratch, ignore_errors=True)
    return HostError.exit_code


def make_known(made: Orders, scratch: Path) -> Orders:
    """Let commands in the container find the server and change its versions.

    It needs one repository, explicit model control and a state directory. The models that take
    encoded images are served in any case, unless there are several repositories.
    """
    given = options(made.command)
    repositories = given.get("model-repository", [])
    explicit = given.get("model-control-mode", [""])[-1] == "explicit"
    if len(repositories) != 1:
        return made
    repository = Path(repositories[0]).absolute()
    servable.show_images(scratch, repository)
    seen = f"--model-repository={servable.images(scratch)}"
    if made.endpoints is None or not explicit or not keeps_state():
        return replace(made, command=[*made.command, seen])
    servable.beside(scratch).mkdir()
    servable.repository(scratch).symlink_to(repository, target_is_directory=True)
    own = Process.of(os.getpid())
    log = Path("its output")
    Running(repository, made.endpoints, own, own, log, made.drain_s, scratch).save()
    return replace(
        made,
        command=[*made.command, seen, f"--model-repository={servable.beside(scratch)}"],
        status=str(status_file(repository)),
    )
