"""Frozen: the input of a run, listed once at its start and the same ever after.

folder, list, CSV or Parquet of paths    copied to `_inputs.parquet`, paths as bytes
CSV of images in base64                  copied too, decoded
Parquet of images                        referred to; its size and rows are compared later
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_serve import durable
from resnet_serve.batch.source import listing, tables
from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet as pq
else:
    pa = optional("pyarrow", extra="batch")
    pq = optional("pyarrow.parquet", extra="batch")

FILE = "_inputs.parquet"
GROUP_ROWS = 4096
_TABLES, _LISTS, _PARQUET = (".csv", ".tsv"), (".txt", ".lst", ".list"), ".parquet"
_VALUE, _ID = "value", "id"

Row = tuple[bytes | None, str | None]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Source:
    """What a user gave: a path or "-", and how it is read."""

    given: str
    column: str | None = None
    id_column: str | None = None
    base64: bool = False
    root: str | None = None


@dataclass(frozen=True)
class Frozen:
    """The input as it was at the start: the Parquet `files`, in order, and their columns.

    `root` is where relative paths begin. `digest` is over the paths, or over the names, sizes and
    rows of files of images. `skipped` counts files of a folder that are no images by name.
    """

    files: tuple[str, ...]
    column: str
    id_column: str | None
    holds_bytes: bool
    root: str
    rows: int
    digest: str
    skipped: int = 0

    def to_json(self) -> dict[str, Any]:
        """Its block in the run's file."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Frozen:
        """The inverse of `to_json`."""
        return cls(**{**data, "files": tuple(data["files"])})

    def at(self, output: Path) -> Frozen:
        """The same where the output folder was moved to; its own file is the one in there."""
        if len(self.files) == 1 and Path(self.files[0]).name == FILE:
            return replace(self, files=(str(output.absolute() / FILE),))
        return self

    def check(self) -> None:
        """Raise `InputFileError` where files of images are not what they were."""
        if self.holds_bytes and self.files and Path(self.files[0]).name != FILE:
            found = _of_files([Path(each) for each in self.files])
            if found != (self.rows, self.digest):
                raise InputFileError(
                    "its Parquet files have changed since the run began",
                    where=Path(self.files[0]).parent,
                    remedy="Put them back, or begin another run in another --output.",
                )


def freeze(source: Source, output: Path, listed: Progress) -> Frozen:
    """List the input and keep it in `output`; `listed` is told how many rows there are so far.

    Raises `InputFileError` for what cannot be read or holds nothing, `UsageError` for what is none
    of the kinds, and for columns that are not clear.
    """
    skipped = listing.Skipped()
    parquet = _parquet_files(source)
    if parquet is not None and parquet.holds_bytes:
        _only_paths(source, {"--root": source.root, "--base64": source.base64 or None})
        rows, digest = _of_files(parquet.paths)
        columns = parquet.columns
        made = Frozen(
            tuple(str(each.absolute()) for each in parquet.paths),
            columns.image,
            columns.id,
            True,
            "",
            rows,
            digest,
        )
    else:
        root = Path(source.root or _root(source)).absolute()
        rows, digest = _write(_rows(source, parquet, skipped), output / FILE, source, listed)
        has_ids = source.id_column is not None
        made = Frozen(
            (str((output / FILE).absolute()),),
            _VALUE,
            _ID if has_ids else None,
            source.base64,
            str(root),
            rows,
            digest,
            skipped.files,
        )
    if made.rows == 0:
        what = f": {skipped.files:,} files are no images by name" if skipped.files else ""
        raise InputFileError(f"holds no images{what}", where=source.given)
    return made


def _rows(
    source: Source, parquet: tables.ParquetFiles | None, skipped: listing.Skipped
) -> Iterator[Row]:
    path = Path(source.given)
    if parquet is not None:
        return tables.parquet_rows(parquet)
    if source.given != listing.STDIN and path.suffix.lower() in _TABLES and path.is_file():
        return tables.csv_rows(path, source.column, source.id_column, base64_images=source.base64)
    _only_paths(
        source,
        {
            "--column": source.column,
            "--id-column": source.id_column,
            "--base64": source.base64 or None,
        },
    )
    if source.given != listing.STDIN and path.is_dir():
        _only_paths(source, {"--root": source.root})
        return ((each, None) for each in listing.folder(path, skipped))
    if source.given == listing.STDIN or path.suffix.lower() in _LISTS:
        return ((each, None) for each in listing.lines(source.given))
    if not path.exists():
        raise InputFileError("there is no such file or folder", where=source.given)
    raise UsageError(
        "is none of the inputs that are read",
        where=source.given,
        remedy="Give a folder of images, a list (.txt, or - for the standard input), .csv, .tsv, "
        ".parquet, or a folder of .parquet files.",
    )


def _only_paths(source: Source, options: dict[str, Any]) -> None:
    """Raise `UsageError` for options that have no meaning for this input."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(
            f"{given[0]} has no meaning for this input",
            where=source.given,
            remedy="Leave it out.",
        )


def _parquet_files(source: Source) -> tables.ParquetFiles | None:
    path = Path(source.given)
    paths = [path]
    if source.given != listing.STDIN and path.is_dir():
        paths = sorted(
            each for each in path.glob(f"*{_PARQUET}") if not each.name.startswith(("_", "."))
        )
    elif path.suffix.lower() != _PARQUET or not path.exists():
        return None
    if not paths:
        return None
    if source.base64:
        raise UsageError(
            "--base64 is for CSV", where=source.given, remedy="Parquet holds images as binaries."
        )
    return tables.parquet(paths, source.column, source.id_column)


def _root(source: Source) -> Path:
    """Where relative paths begin: the folder itself, or that of the list."""
    path = Path(source.given)
    if source.given == listing.STDIN:
        return Path()
    return path if path.is_dir() and not list(path.glob(f"*{_PARQUET}")) else path.parent


def _of_files(paths: Iterable[Path]) -> tuple[int, str]:
    rows, digest = 0, hashlib.sha256()
    for path in paths:
        found = tables.opened(path).metadata.num_rows
        rows += found
        digest.update(os.fsencode(f"{path.name} {path.stat().st_size} {found}\n"))
    return rows, digest.hexdigest()


def _write(rows: Iterator[Row], path: Path, source: Source, listed: Progress) -> tuple[int, str]:
    """Write the rows to Parquet in groups; how many there are, and the digest of all."""
    fields = [pa.field(_VALUE, pa.binary())]
    if source.id_column is not None:
        fields.append(pa.field(_ID, pa.string()))
    schema, count, digest = pa.schema(fields), 0, hashlib.sha256()
    temporary = path.with_name(f".{path.name}.part")
    with durable.explained(path):
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            while group := list(islice(rows, GROUP_ROWS)):
                for value, name in group:
                    digest.update(repr((value, name)).encode("utf-8", "backslashreplace"))
                columns = [pa.array([value for value, _ in group], pa.binary())]
                if source.id_column is not None:
                    columns.append(pa.array([_clean(name) for _, name in group], pa.string()))
                writer.write_table(pa.table(columns, schema=schema), row_group_size=GROUP_ROWS)
                count += len(group)
                listed(count)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        durable.sync_directory(path.parent)
    return count, digest.hexdigest()


def _clean(name: str | None) -> str | None:
    """A text that is UTF-8."""
    return None if name is None else name.encode("utf-8", "backslashreplace").decode()
