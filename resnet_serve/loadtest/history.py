"""History: earlier load tests of a model, a line each, for the plot of the next one.

loadtest-NAME.history.jsonl    {"taken": …, "version": …, "by_rate": …, "levels": […]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_serve import durable
from resnet_serve.errors import InputFileError
from resnet_serve.loadtest.run import LoadTest
from resnet_serve.passport.facts import Facts, MalformedFactsError

_MOST_RUNS = 200
SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class EarlierLevel(Facts):
    """One level: images per second, and latencies."""

    throughput_per_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, kw_only=True)
class Earlier(Facts):
    """One earlier run; `busy` says that the host was, so that nothing is stated of it.

    `tls` is None without TLS, and for runs that are older than this field.
    """

    taken: str
    version: str
    batch_size: int
    by_rate: bool
    busy: bool
    levels: tuple[EarlierLevel, ...]
    tls: bool | None = None

    @classmethod
    def of(cls, test: LoadTest) -> Earlier:
        """What is kept of a run."""
        return cls(
            taken=test.taken,
            version=test.measurement.signature.version,
            batch_size=test.measurement.batch_size,
            by_rate=any(level.rate_per_s is not None for level in test.levels),
            busy=test.busy is not None,
            levels=tuple(
                EarlierLevel(
                    throughput_per_s=level.throughput_per_s,
                    p50_ms=level.p50_ms,
                    p99_ms=level.p99_ms,
                )
                for level in test.levels
            ),
            tls=True if test.measurement.tls is not None else None,
        )

    def comparable(self, other: Earlier) -> bool:
        """Whether both belong into one plot: the same kind of load, on a host that was not busy."""
        kind = (self.batch_size, self.by_rate, self.tls)
        return not self.busy and kind == (other.batch_size, other.by_rate, other.tls)

    @property
    def title(self) -> str:
        """Its version and its day."""
        return f"version {self.version}, {self.taken[:10]}"


def path(directory: Path, model: str) -> Path:
    """The file of a model."""
    return directory / f"loadtest-{model}.history.jsonl"


def read(directory: Path, model: str) -> tuple[Earlier, ...]:
    """The earlier runs, the oldest first; raises `InputFileError` for a line that is none."""
    file = path(directory, model)
    if not file.is_file():
        return ()
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            data: Mapping[str, Any] = json.loads(line)
            found.append(Earlier.from_json(data))
        except (ValueError, MalformedFactsError) as error:
            raise InputFileError(
                f"is no line of a history ({error})",
                where=f"{file}:{number}",
                remedy="Remove the line, or the file.",
            ) from error
    return tuple(found)


def add(directory: Path, test: LoadTest) -> tuple[Earlier, ...]:
    """Add a run to the file; returns those before it that belong into its plot, the last first.

    Raises `InputFileError` for a file that is no history, and `HostError` where it is not written.
    """
    before, own = read(directory, test.model), Earlier.of(test)
    kept = (*before, own)[-_MOST_RUNS:]
    lines = [json.dumps(each.to_json()) for each in kept]
    durable.write(path(directory, test.model), "\n".join(lines) + "\n")
    return tuple(each for each in reversed(before) if each.comparable(own))[:SHOWN]
