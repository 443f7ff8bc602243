"""Rows: the result of one part as an Arrow table, and what its metadata says.

    row  input  failure  error    of each
    index  label  probability  logit  above_threshold    lists, best first, of a classifier
    features    FP32 [channels], of a model of features

`row` is the number of the input, from 0. The metadata names the version, the SHA-256 of its model,
and counts the failures, so that a run is summed up without reading a row.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from resnet_client.prediction import Prediction
from resnet_serve import __version__, durable
from resnet_serve.batch.failures import Failure
from resnet_serve.errors import InputFileError
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet as pq
else:
    pa = optional("pyarrow", extra="batch")
    pq = optional("pyarrow.parquet", extra="batch")

FORMAT = 1
_PREFIX = "resnet-serve."
Found: TypeAlias = "tuple[Prediction, ...] | NDArray[np.float32] | Failure"


@dataclass(frozen=True)
class Result:
    """What became of one input."""

    row: int
    name: str
    found: Found


@dataclass(frozen=True)
class Taken:
    """What a part took: seconds on the wall, and of CPU time."""

    seconds: float
    cpu_seconds: float


def schema(*, features: bool) -> Any:
    """The columns of predictions, or of features."""
    common = [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("input", pa.string(), nullable=False),
        pa.field("failure", pa.string()),
        pa.field("error", pa.string()),
    ]
    if features:
        return pa.schema([*common, pa.field("features", pa.list_(pa.float32()))])
    lists = {
        "index": pa.int32(),
        "label": pa.string(),
        "probability": pa.float32(),
        "logit": pa.float32(),
        "above_threshold": pa.bool_(),
    }
    return pa.schema([*common, *(pa.field(name, pa.list_(kind)) for name, kind in lists.items())])


def table(results: Sequence[Result], *, features: bool = False) -> Any:
    """The rows of a part, without metadata; a failure has nulls for what is not there."""
    made = schema(features=features)
    failures = [each.found if isinstance(each.found, Failure) else None for each in results]
    columns: dict[str, Any] = {
        "row": [each.row for each in results],
        "input": [_clean(each.name) for each in results],
        "failure": [None if each is None else str(each.kind) for each in failures],
        "error": [None if each is None else _clean(each.text) for each in failures],
    }
    if features:
        columns["features"] = _vectors(results)
    else:
        for name in made.names[len(columns) :]:
            columns[name] = [
                [getattr(each, name) for each in result.found]
                if isinstance(result.found, tuple)
                else None
                for result in results
            ]
    arrays = [
        values if isinstance(values, pa.Array) else pa.array(values, made.field(name).type)
        for name, values in columns.items()
    ]
    return pa.table(arrays, schema=made)


def _vectors(results: Sequence[Result]) -> Any:
    """FP32 vectors without a Python object for each number; null for a failure.

    Lists, not lists of a fixed size, which Parquet cannot give back where some are null.
    """
    good = [each.found for each in results if isinstance(each.found, np.ndarray)]
    absent = np.array([not isinstance(each.found, np.ndarray) for each in results])
    sizes = [each.found.size if isinstance(each.found, np.ndarray) else 0 for each in results]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    values = np.concatenate(good) if good else np.empty(0, np.float32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values), mask=pa.array(absent))


def metadata(about: Mapping[str, Any], results: Sequence[Result], taken: Taken) -> dict[str, str]:
    """The metadata of a part: `about` the run, the counts of failures, and what it took."""
    facts = {
        **about,
        "format": FORMAT,
        "written_by": f"resnet-serve {__version__}",
        "rows": len(results),
        "failures": failures(results),
        "seconds": round(taken.seconds, 3),
        "cpu_seconds": round(taken.cpu_seconds, 3),
    }
    return {
        f"{_PREFIX}{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in facts.items()
    }


def failures(results: Sequence[Result]) -> dict[str, int]:
    """How many images have a failure of each kind."""
    kinds = Counter(str(each.found.kind) for each in results if isinstance(each.found, Failure))
    return dict(sorted(kinds.items()))


def write(path: Path, rows: Any, facts: Mapping[str, str]) -> None:
    """Write a part, whole or not at all. Raises `HostError` where it cannot be written."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows.replace_schema_metadata(dict(facts)), sink, compression="zstd")
    durable.write(path, sink.getvalue().to_pybytes())


@dataclass(frozen=True)
class Written:
    """A part of the result, as its metadata has it."""

    rows: int
    failures: Mapping[str, int]
    seconds: float
    cpu_seconds: float
    about: Mapping[str, str]


def written(path: Path) -> Written:
    """What a part says of itself; raises `InputFileError` for a file that is none."""
    try:
        found = pq.read_metadata(path)
        facts = {
            key.decode().removeprefix(_PREFIX): value.decode()
            for key, value in (found.metadata or {}).items()
            if key.startswith(_PREFIX.encode())
        }
        return Written(
            int(found.num_rows),
            json.loads(facts["failures"]),
            float(facts["seconds"]),
            float(facts["cpu_seconds"]),
            facts,
        )
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise InputFileError(
            f"is no part of a result ({error!r:.100})",
            where=path,
            remedy="Remove it; --resume makes it again.",
        ) from error


def _clean(text: str) -> str:
    """A text that is UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
