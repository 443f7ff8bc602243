"""Tables: the column of a CSV or a Parquet file that has the paths, or the images themselves.

Parquet that holds images is not copied: its rows are referred to. Hugging Face's datasets keep an
image as a struct with `bytes`, which is read as bytes.
"""

from __future__ import annotations

import base64
import binascii
import csv
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet as pq
else:
    pa = optional("pyarrow", extra="batch")
    pq = optional("pyarrow.parquet", extra="batch")

KNOWN = ("path", "image", "bytes", "file", "image_path", "filename", "file_name", "content")
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are read: that of the images, and that of their names or None."""

    image: str
    id: str | None


def chosen(names: Sequence[str], column: str | None, id_column: str | None, where: str) -> Columns:
    """The columns of a table with these names; raises `UsageError` where they are not clear."""
    for wanted in (column, id_column):
        if wanted is not None and wanted not in names:
            raise UsageError(
                f"has no column {wanted!r}", where=where, remedy=f"It has {', '.join(names)}."
            )
    if column is not None:
        return Columns(column, id_column)
    if len(names) == 1:
        return Columns(names[0], id_column)
    known = [name for name in KNOWN if name in names]
    if len(known) == 1:
        return Columns(known[0], id_column)
    raise UsageError(
        f"it is not clear which of its columns has the images: {', '.join(names) or 'none'}",
        where=where,
        remedy="Name it: --column NAME.",
    )


def csv_rows(
    path: Path, column: str | None, id_column: str | None, *, base64_images: bool
) -> Iterator[tuple[bytes, str | None]]:
    """The path, or the image's bytes, and the name of each row of a CSV with a heading.

    Raises `InputFileError` for a file that is none, and as `chosen`.
    """
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with (
            _long_fields(),
            path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file,
        ):
            rows = csv.reader(file, delimiter=delimiter, strict=True)
            names = next(rows, [])
            columns = chosen(names, column, id_column, str(path))
            at = names.index(columns.image)
            id_at = None if columns.id is None else names.index(columns.id)
            for row in rows:
                if row:
                    value = row[at] if at < len(row) else ""
                    name = None if id_at is None or id_at >= len(row) else row[id_at]
                    yield _decoded(value) if base64_images else os.fsencode(value), name
    except OSError as error:
        raise InputFileError(
            f"cannot be read ({(error.strerror or '').lower()})", where=path
        ) from error
    except csv.Error as error:
        raise InputFileError(f"is no CSV ({error})", where=path) from error


@contextmanager
def _long_fields() -> Iterator[None]:
    """Fields as long as an image in base64."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _decoded(text: str) -> bytes:
    """Base64; anything else is kept as it is, and refused as an image later."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class ParquetFiles:
    """Parquet files of one form: their columns, and whether they hold the images themselves."""

    paths: tuple[Path, ...]
    columns: Columns
    holds_bytes: bool


def parquet(paths: Sequence[Path], column: str | None, id_column: str | None) -> ParquetFiles:
    """Look at the columns of Parquet files; raises `InputFileError` for what is none.

    A column of binaries, or of structs with `bytes`, holds images; one of texts holds paths.
    """
    schemas = [opened(path).schema_arrow for path in paths]
    columns = chosen(schemas[0].names, column, id_column, str(paths[0]))
    kinds = []
    for path, schema in zip(paths, schemas, strict=True):
        chosen(schema.names, columns.image, columns.id, str(path))
        kinds.append(_holds_bytes(schema.field(columns.image).type, path, columns.image))
    if len(set(kinds)) > 1:
        raise InputFileError(
            f"the column {columns.image!r} holds paths in some of the files and images in others",
            where=paths[0].parent,
        )
    return ParquetFiles(tuple(paths), columns, kinds[0])


def opened(path: Path) -> Any:
    """A `ParquetFile`; raises `InputFileError` for what is none."""
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputFileError(f"is no Parquet file ({error})", where=path) from error


def parquet_rows(found: ParquetFiles) -> Iterator[tuple[bytes | None, str | None]]:
    """The path and the name of each row of files of paths."""
    names = [found.columns.image, *([found.columns.id] if found.columns.id else [])]
    for path in found.paths:
        for batch in opened(path).iter_batches(_ROWS_AT_ONCE, columns=names, use_threads=False):
            values = [_bytes_of(each) for each in batch.column(0).to_pylist()]
            ids = batch.column(1).to_pylist() if found.columns.id else [None] * len(values)
            yield from zip(values, map(_text_of, ids), strict=True)


def _bytes_of(value: Any) -> bytes | None:
    return None if value is None else os.fsencode(value)


def _text_of(value: Any) -> str | None:
    return None if value is None else str(value)


def _holds_bytes(kind: Any, path: Path, column: str) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind):
        return False
    if types.is_binary(kind) or types.is_large_binary(kind):
        return True
    if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return True
    raise InputFileError(
        f"the column {column!r} is of {kind}: neither paths nor images",
        where=path,
        remedy="Name another: --column NAME.",
    )
