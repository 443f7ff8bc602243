"""The file of results, exactly one row per image, also after a run that was killed.

A row is written with one call and reaches the file at once. A run that goes on reads the rows,
removes the half of one at the end, and leaves out as many images of each name as there are rows.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from resnet_client.command.rows import Rows, options_of
from resnet_client.errors import UsageError

_ENCODING = ("utf-8", "surrogateescape")


class OutputFile:
    """`path`, open and locked, with the rows that it has from before where `resume`.

    `done` counts them by image, `failed` those with an error, `repaired` says that half a row was
    removed. Raises `UsageError` for a file that exists and is not to be resumed, that has other
    rows, and that another process writes.
    """

    def __init__(self, path: Path, rows: Rows, model: str, *, resume: bool) -> None:
        self.path = path
        self.done: Counter[str] = Counter()
        self.failed = 0
        self.repaired = False
        try:
            self._file = path.open("a+b" if resume else "x+b", buffering=0)
        except FileExistsError:
            raise UsageError(
                "exists already", where=path, remedy="Go on from it with --resume, or remove it."
            ) from None
        except OSError as error:
            raise UsageError(f"cannot write ({error.strerror})", where=path) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._begin(rows, model)
        except BlockingIOError:
            self._file.close()
            raise UsageError("another process is writing it", where=path) from None
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, row: str) -> None:
        """Append a row; raises `UsageError` where the disk is full."""
        data = memoryview(row.encode(*_ENCODING))
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise UsageError(
                f"cannot write ({error.strerror})",
                where=self.path,
                remedy="It has the results so far: with free space, --resume goes on from them.",
            ) from error

    def _begin(self, rows: Rows, model: str) -> None:
        self._file.seek(0)
        text = self._file.readall().decode(*_ENCODING)
        complete = list(rows.complete(text))
        whole = "".join(complete)
        before, now = options_of(text), rows.options
        if before is not None and before.split()[0] != now.split()[0]:
            raise self._otherwise(f"was written with {before.split()[0]}", before, now.split()[0])
        if rows.heading and complete and complete[0] != rows.heading:
            raise self._otherwise("was written with other columns", before, now)
        half, begin = text[len(whole) :], rows.start if complete else rows.heading or rows.start
        if not (half.startswith(begin) or begin.startswith(half)):
            raise self._foreign(len(complete) + 1)
        for number, row in enumerate(complete, start=1):
            if number > bool(rows.heading):
                self._record(rows, row, number, model)
        if whole != text:
            self.repaired = True
            self._file.truncate(len(whole.encode(*_ENCODING)))
        self._file.seek(0, os.SEEK_END)
        if rows.heading and not complete:
            self.write(rows.heading)

    def _record(self, rows: Rows, row: str, number: int, model: str) -> None:
        try:
            found = rows.recorded(row)
        except ValueError as error:
            raise self._foreign(number) from error
        if found.model != model:
            raise UsageError(
                f"has results of model {found.model!r}, not {model!r}",
                where=self.path,
                remedy="Give that --model, or another --output.",
            )
        self.done[found.image] += 1
        self.failed += found.failed

    def _otherwise(self, what: str, before: str | None, now: str) -> UsageError:
        """The error of a file that other options have begun; they are the remedy."""
        either = "" if before in (None, now) else f"{before} in the place of {now}, or "
        return UsageError(what, where=self.path, remedy=f"Give {either}another --output.")

    def _foreign(self, number: int) -> UsageError:
        return UsageError(
            f"row {number} is not a result in this form",
            where=self.path,
            remedy="Give another --output.",
        )
