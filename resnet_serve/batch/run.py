"""A run: freeze the input, do the parts that are not there, check and sum up the whole.

    request ─► version ─► frozen input ─► parts ─► those that are missing ─► summary

It can be ended at any moment, and goes on with `resume`: a part that is there is not done again,
and one that is not has left nothing behind.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from resnet_serve.batch import run_file, summary, ways
from resnet_serve.batch.request import Request, Told
from resnet_serve.batch.run_file import RunFile
from resnet_serve.batch.source import parts as source_parts
from resnet_serve.batch.source.frozen import Frozen, freeze
from resnet_serve.batch.source.parts import Part
from resnet_serve.batch.summary import Summary
from resnet_serve.batch.ways import Begun, Way
from resnet_serve.batch.work import Job
from resnet_serve.errors import InputFileError, UsageError

_NOTHING = Begun(0, 0, lambda _job, _parts: iter(()), lambda: None)


def run(request: Request, told: Told) -> Summary:
    """Do a run, or the rest of it.

    Raises `UsageError` for what does not go together or is another run than the one that began
    there, `InputFileError` for an input or a version that cannot be read, `HostError` for what is
    missing on this host. What was done is kept in every case.
    """
    output, began = request.output, time.monotonic()
    with run_file.alone(output):
        before = _before(request)
        version = request.version
        if before is not None and version is None:
            version = before.identity.get("version")
        with ways.of(request, version, told) as way:
            if before is None:
                kept = _first(request, way, told)
            else:
                kept = before
                _require_same(request, kept, way)
            parts = source_parts.cut(kept.frozen, kept.rows_per_part)
            there = source_parts.done(output)
            left = [part for part in parts if part.number not in there]
            job = Job(kept.frozen, str(output.absolute()), way.identity, way.features)
            with way.begun() if left else nullcontext(_NOTHING) as begun:
                before_rows = kept.frozen.rows - sum(part.rows for part in left)
                told.planned(kept.frozen.rows, before_rows, begun.workers)
                now = _do(job, left, begun, told)
                sent = begun.sent()
        found = summary.totals(output, parts, way.identity)
        result = Summary(
            model=request.name,
            version=way.identity["version"],
            output=str(output),
            images=found.rows,
            failures=found.failures,
            parts=len(parts),
            done_now=now.rows,
            seconds=round(time.monotonic() - began, 2),
            images_per_s=now.images_per_s,
            cpu_s_per_image=round(found.cpu_seconds / found.rows, 6),
            workers=begun.workers,
            nodes=begun.nodes,
            redone=now.redone,
            skipped=kept.frozen.skipped,
            endpoints=sent,
            notes=tuple(now.notes),
        )
        with suppress(OSError):  # parts that were begun and never ended are counted there
            (output / run_file.ATTEMPTS).rmdir()
        result.write(output)
        return result


@dataclass
class _Now:
    """What this process has done; `seconds` from the beginning of the first part."""

    rows: int = 0
    redone: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def images_per_s(self) -> float | None:
        """The rate without the start of what does the parts."""
        return round(self.rows / self.seconds, 2) if self.seconds > 0 else None


def _do(job: Job, parts: Sequence[Part], begun: Begun, told: Told) -> _Now:
    now, first = _Now(), float("inf")
    for each in begun.done(job, parts):
        ended = time.monotonic()
        first = min(first, ended - each.seconds)
        now.rows += each.rows
        now.redone += each.attempt > 1
        now.seconds = ended - first
        told.ended(each)
        if each.note and each.note not in now.notes:
            now.notes.append(each.note)
            told.say(each.note)
    return now


def _before(request: Request) -> RunFile | None:
    """The run that began in the output folder; raises where it is not to go on."""
    output = request.output
    before = run_file.read(output)
    if before is not None and not request.resume:
        raise UsageError(
            "a run began there",
            where=output,
            remedy="Go on with it: --resume. For another one, give another --output.",
        )
    if before is None and source_parts.done(output):
        raise UsageError(
            "it holds the parts of another result", where=output, remedy="Give another --output."
        )
    for path in output.glob(".part-*.part"):  # of a process that was killed while it wrote
        path.unlink(missing_ok=True)
    return before


def _first(request: Request, way: Way, told: Told) -> RunFile:
    """Freeze the input of a new run, and keep what the run is."""
    frozen = freeze(request.source, request.output, told.listed)
    made = _file(request, way, frozen)
    made.write(request.output)
    if frozen.skipped:
        told.say(f"{frozen.skipped:,} files are no images by their names, and are left out")
    return made


def _file(request: Request, way: Way, frozen: Frozen, size: int | None = None) -> RunFile:
    source: dict[str, Any] = asdict(request.source)
    if source["given"] != "-":
        source["given"] = str(Path(source["given"]).absolute())
    size = request.rows_per_part or size or source_parts.rows_per_part(frozen.rows)
    return RunFile(way.identity, {"top": request.top, "rows_per_part": size}, source, frozen)


def _require_same(request: Request, before: RunFile, way: Way) -> None:
    """Raise where the request is another run, or its input is not what it was."""
    wanted = _file(request, way, before.frozen, before.rows_per_part)
    before.require_same(wanted, request.output)
    if not Path(before.frozen.files[0]).is_file():
        raise InputFileError("the frozen input of the run is gone", where=before.frozen.files[0])
    before.frozen.check()
