"""The driver: Ray in a process of its own, which ends with the run.

    run ◄─ pipe ─► driver ─► Ray ─► workers

What Ray prints, changes in its process and leaves behind is kept away from the command: its output
goes to a log in the folder of its files, and `leftovers` ends what has that folder open, however
the run ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from resnet_serve.batch.model import Facts
from resnet_serve.batch.on_ray import pool
from resnet_serve.batch.on_ray.leftovers import ended_with_us
from resnet_serve.batch.on_ray.start import Cluster, Say, Wanted, check, started
from resnet_serve.batch.on_ray.worker import Options
from resnet_serve.batch.source.parts import Part
from resnet_serve.batch.work import Done, Job
from resnet_serve.errors import ResnetServeError

_LONGEST_FOLDER = 40  # the paths of its sockets have 107 characters at most
_LOG, _SHOWN = "ray.log", 300
_ENDING_S = 20.0


@dataclass(frozen=True)
class Driver:
    """A Ray that runs, and the process that drives it."""

    cluster: Cluster
    connection: Connection
    folder: Path
    say: Say

    def done(
        self, job: Job, facts: Facts, options: Options, parts: Sequence[Part]
    ) -> Iterator[Done]:
        """Do the parts, in any order; each is told when it is written.

        Raises the error that a worker returned, and `ResnetServeError` where Ray itself gave up.
        """
        self.connection.send((job, facts, options, list(parts)))
        while (message := _received(self.connection, self.folder, self.say)) is not None:
            yield message


@contextmanager
def driving(
    *, workers: int | None, threads: int, address: str | None, say: Say
) -> Iterator[Driver]:
    """A Ray for `workers` of `threads` cores each, by default as many as there is room for.

    Without an `address` it is started here and ended afterwards. Raises `HostError` where Ray is
    not installed, or cannot be started or reached.
    """
    if address is not None:
        check(address)
    context = get_context("spawn")
    folder = Path(tempfile.mkdtemp(prefix="rs-ray-", dir=_short()))
    with ended_with_us(folder):
        ours, theirs = context.Pipe()
        wanted = Wanted(workers, threads, address, str(folder))
        process = context.Process(target=_drive, args=(theirs, wanted), name="resnet-batch-ray")
        process.start()
        theirs.close()
        try:
            cluster = _received(ours, folder, say)
            yield Driver(cluster, ours, folder, say)
        finally:
            ours.close()
            process.join(0.5)
            if process.is_alive():  # in the middle of something: Ray ends in order on SIGTERM
                process.terminate()
                process.join(_ENDING_S)
            if process.is_alive():
                process.kill()
                process.join()


def _received(connection: Connection, folder: Path, say: Say) -> Any:
    """The next message that is no sentence to pass on; raises one that is an error."""
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError) as error:
            raise ResnetServeError(
                f"the process that drives Ray has ended ({_last(folder / _LOG)})",
                remedy="What is done is kept: repeat the command with --resume.",
            ) from error
        if isinstance(message, ResnetServeError):
            raise message
        if not isinstance(message, str):
            return message
        say(message)


def _last(log: Path) -> str:
    """The end of the log."""
    with suppress(OSError):
        return " ".join(log.read_text(errors="replace").split())[-_SHOWN:]
    return "without a log"


def _drive(connection: Connection, wanted: Wanted) -> None:
    """The driver's process: a Ray, then parts, then each that is done, then None."""
    os.setsid()  # Ctrl-C is for the command, which ends this process in order
    log = os.open(Path(wanted.folder) / _LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    with suppress(EOFError, BrokenPipeError):  # the command has ended
        try:
            with started(wanted, connection.send) as cluster:
                connection.send(cluster)
                for each in pool.done(cluster, *connection.recv()):
                    connection.send(each)
                connection.send(None)
        except ResnetServeError as error:
            connection.send(error)


def _short() -> str:
    """A folder for temporary files whose path leaves room for those of Ray's sockets."""
    place = tempfile.gettempdir()
    return place if len(place) + len("/rs-ray-12345678") <= _LONGEST_FOLDER else "/tmp"  # noqa: S108
