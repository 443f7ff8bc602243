"""A worker: one process that does parts one by one, with one model, wherever Ray has put it.

It counts how often a part was begun. A part that took its process with it before is decoded apart,
image by image. Errors are returned, not raised, so that they arrive as what they are.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from resnet_serve import errors, host
from resnet_serve.batch import model, work
from resnet_serve.batch.local import Local
from resnet_serve.batch.model import Facts
from resnet_serve.batch.on_ray.apart import Apart
from resnet_serve.batch.run_file import ATTEMPTS, RUN_FILE
from resnet_serve.batch.source.parts import Part
from resnet_serve.batch.work import Done, Job
from resnet_serve.errors import HostError, ResnetServeError

APART_FROM = 3  # the attempt at a part from which on images are decoded apart


@dataclass(frozen=True)
class Options:
    """How each worker runs the model; `top` predictions each, None for as many as clients get."""

    threads: int
    batch_size: int
    top: int | None


class Worker:
    """See the module; nothing is opened before the first part."""

    def __init__(self, job: Job, facts: Facts, options: Options) -> None:
        self._job, self._facts, self._options = job, facts, options
        self._engine: Local | None = None

    def do(self, part: Part) -> Done:
        """Do a part; raises `ResnetServeError` for what fails the run."""
        output = Path(self._job.output)
        if not (output / RUN_FILE).is_file():
            raise HostError(
                f"the output folder {output} is not there on {socket.gethostname()}",
                remedy="Give an --output that every node of the cluster shares.",
            )
        if self._engine is None:
            options = self._options
            self._engine = Local(
                self._facts,
                threads=options.threads,
                batch_size=options.batch_size,
                top=options.top,
            )
        attempt = _begun(output / ATTEMPTS / part.name)
        if attempt < APART_FROM:
            done = work.do(self._job, part, self._engine)
        else:
            facts = self._facts
            prepare = partial(model.prepared, preprocessing=facts.preprocessing, kind=facts.input)
            with Apart(prepare) as apart:
                done = work.do(self._job, part, self._engine.decoding(apart))
        (output / ATTEMPTS / part.name).unlink(missing_ok=True)
        return replace(done, attempt=attempt, note=_note(self._facts))

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        """For Ray Data: parts as JSON in, what was done as JSON out."""
        return {"done": [self._told(json.loads(each)) for each in batch["part"]]}

    def _told(self, part: dict[str, Any]) -> str:
        try:
            return json.dumps({"done": asdict(self.do(Part(**part)))})
        except ResnetServeError as error:
            facts = {"what": error.what, "where": error.where, "remedy": error.remedy}
            return json.dumps({"error": type(error).__name__, **facts})


def heard(text: str) -> Done:
    """What a worker has done; raises the `ResnetServeError` that it returned."""
    told = json.loads(text)
    if "done" in told:
        return Done(**told["done"])
    kind = getattr(errors, told["error"], ResnetServeError)
    raise kind(told["what"], where=told["where"], remedy=told["remedy"])


def _note(facts: Facts) -> str:
    """What must be known of this host: INT8 that was proved with VNNI saturates without it."""
    if not facts.fast_int8 or host.describe().fast_int8:
        return ""
    return (
        f"{socket.gethostname()} has no VNNI or AMX, with which {facts.name} version "
        f"{facts.version} was proved: its INT8 products may saturate there, and results differ"
    )


def _begun(path: Path) -> int:
    """Count an attempt at a part in its file; the number of this one."""
    attempt = 1
    with contextlib.suppress(OSError, ValueError):
        attempt += int(path.read_text())
    with contextlib.suppress(OSError):  # a disk that is full fails the part itself
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(attempt))
    return attempt
