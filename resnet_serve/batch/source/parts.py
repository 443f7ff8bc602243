"""Parts: which rows of the frozen input become which file of the result, and those rows themselves.

The rows of a part are of one file and follow each other: a slice of a large row group, or several
small groups. Parts depend on the files alone, so that every process cuts the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_serve.batch.source.frozen import Frozen
from resnet_serve.batch.source.tables import opened

_NAME = re.compile(r"part-(\d{6,})\.parquet")
_READ_AT_ONCE = 64
LEAST_ROWS, MOST_ROWS = 64, 4096
_WANTED = 64  # parts at least, of a large input


@dataclass(frozen=True)
class Part:
    """`rows` rows from `first` on, which are in the groups `first_group` … `last_group` of a file,
    behind `offset` others.
    """

    number: int
    first: int
    rows: int
    file: str
    first_group: int
    last_group: int
    offset: int

    @property
    def name(self) -> str:
        """The name of its file in the result."""
        return name(self.number)


@dataclass(frozen=True)
class Item:
    """One input: its number, its name, and its path or its bytes, which may be absent."""

    row: int
    name: str
    value: bytes | None


def name(number: int) -> str:
    """The file of the part with this number."""
    return f"part-{number:06d}.parquet"


def rows_per_part(rows: int) -> int:
    """How many rows a part has where nobody says it: a power of two, 64 to 4,096."""
    wanted = LEAST_ROWS
    while wanted < MOST_ROWS and wanted * 2 * _WANTED <= rows:
        wanted *= 2
    return wanted


def cut(frozen: Frozen, size: int) -> list[Part]:
    """The parts of the input, of at most `size` rows each; raises as `opened`."""
    parts: list[Part] = []
    first = 0
    for file in frozen.files:
        metadata = opened(Path(file)).metadata
        for groups, offset, rows in _slices(metadata, size):
            parts.append(Part(len(parts), first, rows, file, groups[0], groups[1], offset))
            first += rows
    return parts


def _slices(metadata: Any, size: int) -> Iterator[tuple[tuple[int, int], int, int]]:
    """First and last row group, offset in them, and rows of each part of one file."""
    begun, together = 0, 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if together and together + rows > size:
            yield (begun, group - 1), 0, together
            begun, together = group, 0
        if rows > size:
            for offset in range(0, rows, size):
                yield (group, group), offset, min(size, rows - offset)
            begun, together = group + 1, 0
        else:
            begun = begun if together else group
            together += rows
    if together:
        yield (begun, metadata.num_row_groups - 1), 0, together


def items(frozen: Frozen, part: Part) -> Iterator[Item]:
    """The rows of a part; a few are in memory at once."""
    file = opened(Path(part.file))
    columns = [frozen.column, *([frozen.id_column] if frozen.id_column else [])]
    groups = list(range(part.first_group, part.last_group + 1))
    batches = file.iter_batches(
        _READ_AT_ONCE, row_groups=groups, columns=columns, use_threads=False
    )
    left, skip, row = part.rows, part.offset, part.first
    for batch in batches:
        cut_off = min(skip, len(batch))
        skip -= cut_off
        taken = batch.slice(cut_off, left)
        values = taken.column(columns[0]).to_pylist()
        ids = taken.column(columns[1]).to_pylist() if frozen.id_column else [None] * len(values)
        for value, given in zip(values, ids, strict=True):
            yield Item(row, _named(frozen, part, row, value, given), _value(value))
            row += 1
        left -= len(values)
        if left == 0:
            return


def _value(found: Any) -> bytes | None:
    return found.get("bytes") if isinstance(found, dict) else found


def _named(frozen: Frozen, part: Part, row: int, value: Any, given: Any) -> str:
    if given is not None:
        return str(given)
    if frozen.holds_bytes:
        inside = value.get("path") if isinstance(value, dict) else None
        return str(inside) if inside else f"{Path(part.file).name}#{row}"
    return "" if value is None else str(value.decode("utf-8", "backslashreplace"))


def done(folder: Path) -> set[int]:
    """The numbers of the parts that are in a folder."""
    found = (_NAME.fullmatch(each.name) for each in folder.iterdir())
    return {int(each[1]) for each in found if each is not None}
