"""Work: one part, from its inputs to its file, with a model in this process or with a server.

    items ─ read ahead ─► bytes ─ prepare ─► elements ─ batches ─► found ─► part-000042.parquet

While a batch is computed, the files of the next one are read. Memory is bounded by two batches of
files, whatever the size of the part.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from resnet_serve.batch import images, rows
from resnet_serve.batch.failures import Failure
from resnet_serve.batch.rows import Found, Result, Taken
from resnet_serve.batch.source.frozen import Frozen
from resnet_serve.batch.source.parts import Item, Part, items
from resnet_serve.preprocessing import Limits

_READERS = 4


class Classifies(Protocol):
    """What turns the bytes of images into predictions or features."""

    @property
    def limits(self) -> Limits:
        """What one image may cost."""
        ...

    @property
    def batch_size(self) -> int:
        """Images that are given at once."""
        ...

    def found(self, batch: Sequence[bytes | Failure]) -> list[Found]:
        """What becomes of each; a failure stays what it is."""
        ...


@dataclass(frozen=True)
class Job:
    """What every part of a run has in common; it can be pickled.

    `about` is what the metadata of each part says of the run. `features` says that the model
    has no classifier.
    """

    frozen: Frozen
    output: str
    about: Mapping[str, Any]
    features: bool = False


@dataclass(frozen=True)
class Done:
    """A part that was written: its number, and what came of it.

    `attempt` is 1, or more where a process was lost with the part before. `note` is what must be
    known of the host that did it.
    """

    part: int
    rows: int
    failures: Mapping[str, int]
    seconds: float
    cpu_seconds: float
    attempt: int = 1
    note: str = ""


def do(
    job: Job, part: Part, engine: Classifies, cpu_time: Callable[[], float] = time.process_time
) -> Done:
    """Do a part and write its file; `cpu_time` is the clock of what does it.

    Raises `HostError` where it cannot be written, `InputFileError` where the input cannot be read,
    and what `engine` raises.
    """
    begun, cpu_begun = time.monotonic(), cpu_time()
    results = list(_results(job.frozen, part, engine))
    made = rows.table(results, features=job.features)
    taken = Taken(time.monotonic() - begun, cpu_time() - cpu_begun)
    worker = f"{socket.gethostname()}:{os.getpid()}"
    about = {**job.about, "part": part.number, "worker": worker}
    facts = rows.metadata(about, results, taken)
    rows.write(Path(job.output) / part.name, made, facts)
    return Done(
        part.number,
        len(results),
        rows.failures(results),
        time.monotonic() - begun,
        cpu_time() - cpu_begun,
    )


def _results(frozen: Frozen, part: Part, engine: Classifies) -> Iterator[Result]:
    given = items(frozen, part)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="resnet-batch-read") as pool:

        def begin() -> list[tuple[Item, Any]]:
            """Start to read the next batch."""
            wanted = islice(given, engine.batch_size)
            return [(item, pool.submit(_read, frozen, item, engine.limits)) for item in wanted]

        ahead = begin()
        while ahead:
            batch, ahead = ahead, begin()
            found = engine.found([reading.result() for _, reading in batch])
            for (item, _), each in zip(batch, found, strict=True):
                yield Result(item.row, item.name, each)


def _read(frozen: Frozen, item: Item, limits: Limits) -> bytes | Failure:
    if frozen.holds_bytes:
        return images.checked(item.value, limits)
    return images.read(item.value, Path(frozen.root), limits)
