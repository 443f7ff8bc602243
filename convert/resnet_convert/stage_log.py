"""Stage log: the stages of a conversion as they run, timed, summarised, with notes and warnings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from resnet_serve.errors import Note


class StageName(StrEnum):
    """Every stage of a conversion, in the order in which they run; `stages` has the table."""

    WEIGHTS = "weights"
    REFERENCE = "reference"
    TRACE = "trace"
    FOLD = "fold"
    PIXELS = "pixels"
    AUTOSELECT = "autoselect"
    CALIBRATE = "calibrate"
    MIXED_PRECISION = "mixed precision"
    QUANTIZE = "quantize"
    RANGE = "range"
    HALF = "half"
    LINT = "lint"
    ENGINE = "engine"
    INSPECT = "inspect"
    PARITY = "parity"
    LATENCY = "latency"
    DEPLOY = "deploy"


class Progress(Protocol):
    """Progress callbacks; the command line shows them, tests record them."""

    def stage(self, name: str) -> None:
        """A stage begins."""

    def advance(self, done: int, total: int) -> None:
        """Within the stage, `done` of `total` bytes or images are through."""

    def note(self, text: str) -> None:
        """Something to know about the stage before, as one line."""

    def finish(self, summary: str) -> None:
        """The stage is done; `summary` is one line on its result."""


class Silent:
    """Progress callbacks that do nothing."""

    def stage(self, name: str) -> None:
        """Nothing."""

    def advance(self, done: int, total: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def finish(self, summary: str) -> None:
        """Nothing."""


@dataclass(frozen=True)
class StageTime:
    """One stage, how long it took, and its one-line summary."""

    name: str
    seconds: float
    summary: str


@dataclass
class StageLog:
    """The stages that have run so far, the warnings, and the notes on ordinary facts."""

    progress: Progress
    stages: list[StageTime] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    @contextmanager
    def stage(self, name: StageName) -> Iterator[Callable[[str], None]]:
        """Time a stage; the body calls the yielded function with its summary."""
        self.progress.stage(name)
        started, summary = time.perf_counter(), [""]
        yield lambda text: summary.__setitem__(0, text)
        self.stages.append(StageTime(str(name), time.perf_counter() - started, summary[0]))
        self.progress.finish(summary[0])

    def warn(self, *warnings: str | None) -> None:
        """Add the warnings that are not None; a `Note` is added to the notes."""
        for each in warnings:
            if isinstance(each, Note):
                self.notes.append(each)
            elif each is not None:
                self.warnings.append(each)

    def said(self) -> tuple[tuple[str, ...], tuple[Note, ...]]:
        """The warnings and the notes, each of them once."""
        return tuple(dict.fromkeys(self.warnings)), tuple(dict.fromkeys(self.notes))

    def tell(self, text: str) -> None:
        """Report what is done in the stage under way."""
        self.progress.note(Note(text))
