"""Start: a Ray for the time of a run, of its own or a cluster that runs.

A local Ray listens on all addresses, as Ray always does: with a random token that its own processes
have, without a dashboard and statistics. Its object store is the smallest, since nothing large goes
through it.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_serve import host
from resnet_serve.errors import HostError, UsageError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import ray
else:
    ray = optional("ray", extra="batch")

STORE_BYTES = 96 << 20  # Ray refuses less than 75 MiB
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - it is looked at
_CONNECT_S = 5.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """The Ray that is wanted: `workers` of `threads` cores each, None for as many as fit.

    Without an `address` it is started here, with its files in `folder`.
    """

    workers: int | None
    threads: int
    address: str | None
    folder: str


@dataclass(frozen=True)
class Cluster:
    """The Ray that runs: how many workers it gets, and on how many nodes."""

    workers: int
    nodes: int


def check(address: str) -> None:
    """Raise `UsageError` for what is no address of a cluster, `HostError` where nothing listens.

    Ray itself waits minutes for a cluster that is not there.
    """
    name, _, port = address.rpartition(":")
    if "/" in address or not name or not port.isdecimal():
        raise UsageError(
            f"{address} is not the address of a cluster",
            remedy="Give HOST:PORT, 6379 by default, on a machine that is a node of it.",
        )
    try:
        socket.create_connection((name.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HostError(
            f"no Ray at {address} ({reason.lower()})",
            remedy="`ray status` on a node of the cluster says its address.",
        ) from error


@contextmanager
def started(wanted: Wanted, say: Say) -> Iterator[Cluster]:
    """A Ray, in this process, which is for it alone. Its environment is changed.

    Raises `HostError` where Ray is not installed, or cannot be started or reached.
    """
    address, threads = wanted.address, wanted.threads
    _environment(local=address is None)
    if address is None:
        workers = wanted.workers or max(1, host.cores() // threads)
        options = _local(workers * threads, Path(wanted.folder), say)
    else:
        options = {"address": address}
    with ExitStack() as stack:
        try:
            ray.init(**options, log_to_driver=False, logging_level=logging.WARNING)
        except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
            where = "Ray cannot be started here" if address is None else f"no Ray at {address}"
            reason = " ".join(str(error).split())[:300]
            raise HostError(f"{where} ({reason})", remedy="See docs/batch.md.") from error
        stack.callback(ray.shutdown)
        about: Any = ray
        cores = int(about.cluster_resources().get("CPU", 0))
        room = wanted.workers or max(1, cores // threads)
        yield Cluster(room, len([each for each in about.nodes() if each["Alive"]]))


def _local(cores: int, folder: Path, say: Say) -> dict[str, Any]:
    free = shutil.disk_usage(_SHARED_MEMORY).free if _SHARED_MEMORY.is_dir() else 0
    options: dict[str, Any] = {
        "address": "local",
        "num_cpus": cores,
        "num_gpus": 0,
        "object_store_memory": STORE_BYTES,
        "include_dashboard": False,
        "_temp_dir": str(folder),
    }
    if free < STORE_BYTES:
        say(
            f"{_SHARED_MEMORY} has {free >> 20} MiB free, less than the {STORE_BYTES >> 20} MiB of "
            f"Ray's object store: it is kept in {folder} (in a container: --shm-size=256m)"
        )
        options["_plasma_directory"] = str(folder)
    return options


def _environment(*, local: bool) -> None:
    """What Ray reads when it is imported and when its processes start."""
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }.items():
        os.environ.setdefault(name, value)
    if local:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
