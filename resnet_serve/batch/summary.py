"""The summary of a run: what became of all inputs, read from the metadata of its parts.

The result is checked here: every part is there, with its rows, of this run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resnet_serve import durable
from resnet_serve.batch import rows
from resnet_serve.batch.run_file import SUMMARY_FILE
from resnet_serve.batch.source import parts as source_parts
from resnet_serve.batch.source.parts import Part
from resnet_serve.errors import InputFileError


@dataclass(frozen=True)
class Summary:
    """A whole result: inputs, those without predictions by kind, and what it took.

    `seconds`, `images_per_s` and `done_now` are of this process: a run that went on has had others
    before. `cpu_s_per_image` is over all parts, of the processes that did them. `redone` counts
    parts that were begun again after a worker was lost.
    """

    model: str
    version: int
    output: str
    images: int
    failures: Mapping[str, int]
    parts: int
    done_now: int
    seconds: float
    images_per_s: float | None
    cpu_s_per_image: float
    workers: int
    nodes: int
    redone: int = 0
    skipped: int = 0
    endpoints: Mapping[str, tuple[int, int]] | None = None
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """How many inputs have no predictions."""
        return sum(self.failures.values())

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.failures.items())
        bad = f", {self.failed:,} without: {kinds}" if kinds else ""
        rate = "" if self.images_per_s is None else f", {self.images_per_s:,.1f} images/s"
        return (
            f"{self.images:,} images: {self.images - self.failed:,} with results{bad}. "
            f"{self.done_now:,} of them now, in {self.seconds:,.1f} s{rate}."
        )

    def to_json(self) -> dict[str, Any]:
        """Its block in `--json`, and the file `_summary.json`."""
        return asdict(self)

    def write(self, output: Path) -> None:
        """Keep it in the output folder. Raises `HostError`."""
        durable.write(output / SUMMARY_FILE, json.dumps(self.to_json(), indent=2) + "\n")


@dataclass(frozen=True)
class Totals:
    """What the parts of a result say together."""

    rows: int
    failures: Mapping[str, int]
    cpu_seconds: float


def totals(output: Path, parts: Sequence[Part], about: Mapping[str, Any]) -> Totals:
    """Check every part of a result, and add them up.

    Raises `InputFileError` for a part that is missing, has other rows, or is of another run.
    """
    stray = source_parts.done(output) - {part.number for part in parts}
    if stray:
        raise _wrong(output / source_parts.name(min(stray)), "belongs to no part of the input")
    failures: Counter[str] = Counter()
    count, cpu_seconds = 0, 0.0
    for part in parts:
        path = output / part.name
        found = rows.written(path)
        if found.rows != part.rows:
            raise _wrong(path, f"has {found.rows} rows, not {part.rows}")
        for key, value in about.items():
            if found.about.get(key) != (value if isinstance(value, str) else json.dumps(value)):
                raise _wrong(path, f"was written with another {key}")
        failures.update(found.failures)
        count += found.rows
        cpu_seconds += found.cpu_seconds
    return Totals(count, dict(failures.most_common()), cpu_seconds)


def _wrong(path: Path, what: str) -> InputFileError:
    return InputFileError(what, where=path, remedy="Remove it; --resume makes what is missing.")
