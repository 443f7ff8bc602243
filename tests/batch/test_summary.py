"""The summary: every part is checked before anything is said of the whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from batch_model import picture
from pyarrow import parquet as pq

from resnet_client.prediction import Prediction
from resnet_serve.batch import rows, summary
from resnet_serve.batch.failures import Failure, Kind
from resnet_serve.batch.rows import Result, Taken
from resnet_serve.batch.source.parts import Part
from resnet_serve.batch.summary import Summary
from resnet_serve.errors import InputFileError

ABOUT = {"model": "toy", "version": 3, "model_sha256": "a" * 64}


def part(number: int, count: int = 2) -> Part:
    """A part of so many rows."""
    return Part(number, number * count, count, "inputs.parquet", 0, 0, 0)


def write(folder: Path, number: int, count: int = 2, **about: Any) -> None:
    """The file of a part: its first row is a failure, the others have a prediction."""
    found: list[Result] = [Result(0, "a", Failure(Kind.MISSING, "gone"))]
    found += [Result(row, f"{row}", (Prediction("cat", 1, 0.5, 2.0),)) for row in range(1, count)]
    facts = rows.metadata({**ABOUT, "part": number, **about}, found, Taken(1.0, 0.5))
    rows.write(folder / part(number).name, rows.table(found), facts)


def test_parts_are_added_up(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path, number)
    found = summary.totals(tmp_path, [part(number) for number in range(3)], ABOUT)
    assert (found.rows, dict(found.failures), found.cpu_seconds) == (6, {"missing": 3}, 1.5)


def test_what_is_wrong_with_a_part_is_said(tmp_path: Path) -> None:
    parts = [part(0), part(1)]
    write(tmp_path, 0)
    with pytest.raises(InputFileError, match=r"part-000001\.parquet: is no part of a result"):
        summary.totals(tmp_path, parts, ABOUT)
    write(tmp_path, 1, count=3)
    with pytest.raises(InputFileError, match="has 3 rows, not 2"):
        summary.totals(tmp_path, parts, ABOUT)
    write(tmp_path, 1, model_sha256="b" * 64)
    with pytest.raises(InputFileError, match="was written with another model_sha256"):
        summary.totals(tmp_path, parts, ABOUT)
    (tmp_path / part(1).name).write_bytes(picture(0))
    with pytest.raises(InputFileError, match="is no part of a result"):
        summary.totals(tmp_path, parts, ABOUT)
    pq.write_table(pa.table({"x": [1, 2]}), tmp_path / part(1).name)
    with pytest.raises(InputFileError, match=r"--resume makes it again"):
        summary.totals(tmp_path, parts, ABOUT)
    write(tmp_path, 1)
    write(tmp_path, 2)
    with pytest.raises(InputFileError, match="belongs to no part of the input"):
        summary.totals(tmp_path, parts, ABOUT)


def test_the_sentence_and_the_file(tmp_path: Path) -> None:
    found = Summary(
        model="toy",
        version=3,
        output="out",
        images=10_000,
        failures={"damaged": 7, "missing": 3},
        parts=3,
        done_now=5_000,
        seconds=100.0,
        images_per_s=62.5,
        cpu_s_per_image=0.03,
        workers=2,
        nodes=1,
    )
    assert found.sentence == (
        "10,000 images: 9,990 with results, 10 without: 7 damaged, 3 missing. 5,000 of them now, "
        "in 100.0 s, 62.5 images/s."
    )
    found.write(tmp_path)
    assert json.loads((tmp_path / "_summary.json").read_text()) == json.loads(
        json.dumps(found.to_json())
    )
