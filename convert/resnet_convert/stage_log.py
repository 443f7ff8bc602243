"""The stages of a conversion as they pass: timed, summarised, and told to whoever watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol


class Progress(Protocol):
    """Where a conversion tells what it is doing; the command line shows it, tests record it."""

    def stage(self, name: str) -> None:
        """A stage begins."""

    def advance(self, done: int, total: int) -> None:
        """Within the stage, `done` of `total` bytes or images are through."""

    def finish(self, summary: str) -> None:
        """The stage is done; one line of what came of it."""


class Silent:
    """No progress."""

    def stage(self, name: str) -> None: ...

    def advance(self, done: int, total: int) -> None: ...

    def finish(self, summary: str) -> None: ...


@dataclass(frozen=True)
class StageTime:
    """One stage, how long it took, and its one-line summary."""

    name: str
    seconds: float
    summary: str


@dataclass
class StageLog:
    """The stages gone so far."""

    progress: Progress
    stages: list[StageTime] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[str], None]]:
        """Time a stage; the body calls the yielded function with its summary."""
        self.progress.stage(name)
        started, summary = time.perf_counter(), [""]
        yield lambda text: summary.__setitem__(0, text)
        self.stages.append(StageTime(name, time.perf_counter() - started, summary[0]))
        self.progress.finish(summary[0])
