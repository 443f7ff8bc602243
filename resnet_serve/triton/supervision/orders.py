"""Orders: what the supervisor is told to run, or why it does not; one line of JSON each way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from resnet_serve.errors import HostError
from resnet_serve.triton.supervision.endpoints import Endpoints

DETACH = b"detach\n"
DRAIN_S = 20.0
SCRATCH = "resnet-serve-"  # the beginning of the name of a server's folder of temporary files
# Settings of Triton's metrics. By default it wants the 95th percentile to 0.1 %: then the summaries
# are a fifth of the server's CPU time of an image, and with 0.5 % nothing that can be measured.
METRICS = (
    "summary_latencies=true",
    "summary_quantiles=0.5:0.05,0.9:0.01,0.95:0.005,0.99:0.001,0.999:0.001",
)
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - POSIX shared memory, not a temporary file


_REFUSED = "refused "  # before the JSON


@dataclass(frozen=True)
class Policy:
    """When a server is restarted, and when its supervisor gives up.

    The delay doubles with every quick crash: one less than `quick_s` seconds after the server was
    ready, or before. After `most_quick` of them in a row the supervisor ends. A server that is not
    ready within `ready_s` counts as crashed. A first start is repeated only where `Restarts` says
    so. A server that is still loading `unnoticed_s` after one of its backend processes died has
    crashed, and one whose handler of a crash takes `handler_s` is killed. `check_s` is the time
    between two health checks (0: none), `check_timeout_s` the time that one may take. A model whose
    backend process dies is loaded again, unless that was less than `again_s` seconds ago: then the
    server is restarted.
    """

    first_delay_s: float = 0.5
    longest_delay_s: float = 30.0
    quick_s: float = 10.0
    most_quick: int = 5
    ready_s: float = 600.0
    unnoticed_s: float = 10.0
    handler_s: float = 3.0
    check_s: float = 10.0
    check_timeout_s: float = 30.0
    again_s: float = 60.0


@dataclass(frozen=True)
class Orders:
    """A command to run; `scratch` and the shared memory `shm_prefix*` are removed at its end.

    `endpoints` are asked whether the server is ready and answers; without them it is neither
    probed nor restarted. Its output goes to `log`, which is rotated, or to stderr without one.
    `status` is the file that tells of restarts. The server has `drain_s` seconds to finish the
    requests in flight when it is stopped. The supervisor's own metrics are at `status_port` of the
    address of `endpoints`; 0 for none. Where the command traces requests for it, the access log is
    the file `access_log`, or the file descriptor of this number. With `quick_load` the server
    completes no configuration where all of them are complete.
    """

    command: list[str]
    environment: dict[str, str]
    directory: str
    scratch: str
    shm_prefix: str
    endpoints: Endpoints | None = None
    log: str | None = None
    status: str | None = None
    drain_s: float = DRAIN_S
    status_port: int = 0
    access_log: str | int | None = None
    policy: Policy = field(default_factory=Policy)
    quick_load: bool = False

    def to_line(self) -> bytes:
        """One line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Orders:
        """The inverse of `to_line`."""
        values: dict[str, Any] = json.loads(line)
        if values["endpoints"] is not None:
            values["endpoints"] = Endpoints(**values["endpoints"])
        return cls(**values | {"policy": Policy(**values["policy"])})


def options(words: Sequence[str]) -> dict[str, list[str]]:
    """The values of `--name=value` and `--name value`, by name, in their order."""
    found: dict[str, list[str]] = {}
    for index, word in enumerate(words):
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            following = words[index + 1] if index + 1 < len(words) else ""
            found.setdefault(name, []).append(value if equals else following)
    return found


def refusal(error: HostError | OSError, program: str) -> str:
    """What the supervisor replies where it cannot start the program."""
    if not isinstance(error, HostError):
        place = "" if error.filename is None else f"{error.filename}: "
        why = f"{place}{(error.strerror or str(error)).lower()}"
        error = HostError(f"cannot be started ({why})", where=program)
    return _REFUSED + json.dumps([error.what, error.where, error.remedy])


def refused(reply: str, program: str) -> HostError:
    """The error of a reply that is no process id."""
    if not reply.startswith(_REFUSED):
        return HostError("cannot be started (its supervisor did not start)", where=program)
    what, where, remedy = json.loads(reply.removeprefix(_REFUSED))
    return HostError(what, where=where, remedy=remedy)
