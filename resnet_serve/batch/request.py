"""The request of a run, and what a run tells while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from resnet_serve.batch.servers.fleet import Access
from resnet_serve.batch.source.frozen import Source
from resnet_serve.batch.work import Done


@dataclass(frozen=True)
class Request:
    """What is asked. None leaves a choice to the run: the served version, the predictions of the
    activation, the sizes, as many workers as there is room for.

    With `urls` the servers there are asked, else the version runs in a Ray, here or at `address`.
    """

    name: str
    source: Source
    output: Path
    repository: Path
    version: int | None = None
    top: int | None = None
    batch_size: int | None = None
    rows_per_part: int | None = None
    workers: int | None = None
    threads: int = 1
    address: str | None = None
    urls: tuple[str, ...] = ()
    access: Access = field(default_factory=Access)
    resume: bool = False


@dataclass(frozen=True)
class Told:
    """What a run tells while it goes on.

    `listed` is called with the inputs found so far, `planned` with all rows, those that are done
    already, and the workers; `ended` with each part; `say` with a sentence about anything else.
    """

    listed: Callable[[int], None]
    planned: Callable[[int, int, int], None]
    ended: Callable[[Done], None]
    say: Callable[[str], None]
