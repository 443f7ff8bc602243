"""The file of results after runs that ended anyhow."""

from __future__ import annotations

import multiprocessing
import os
import re
from pathlib import Path

import pytest

from resnet_client.command.output_file import OutputFile
from resnet_client.command.rows import CsvRows, JsonRows, Rows
from resnet_client.errors import BadImageError, UsageError
from resnet_client.prediction import Prediction

BEST = (Prediction("a cat,\n black", 3, 0.75, 2.5),)
FIELDS = ("label", "index", "probability", "logit")
BOTH = pytest.mark.parametrize("rows", [JsonRows(), CsvRows(1, FIELDS)], ids=["json", "csv"])


def written(path: Path, rows: Rows, images: list[str]) -> bytes:
    with OutputFile(path, rows, "m", resume=True) as file:
        for image in images:
            file.write(rows.row(image, "m", BEST, None))
        file.write(rows.row("bad", "m", (), BadImageError("damaged", where="bad")))
    return path.read_bytes()


@BOTH
def test_cut_at_any_byte_it_goes_on_from_the_last_complete_row(tmp_path: Path, rows: Rows) -> None:
    images = ["a.png", "b c.png", "a.png", os.fsdecode(b"\xff\xe4.png"), "d\n.png"]
    whole = written(tmp_path / "whole", rows, images)
    for cut in range(len(whole) + 1):
        path = tmp_path / "cut"
        path.write_bytes(whole[:cut])
        with OutputFile(path, rows, "m", resume=True) as file:
            done, failed = file.done, file.failed
            assert file.repaired == (path.read_bytes() != whole[:cut] and 0 < cut < len(whole)) or (
                cut < len(rows.heading)
            )
            rest = [*images, "bad"][done.total() :]
            for image in rest:
                outcome = BEST, None
                if image == "bad":
                    outcome = (), BadImageError("damaged", where="bad")
                file.write(rows.row(image, "m", *outcome))
        assert path.read_bytes() == whole, cut
        assert failed == (cut == len(whole))


@BOTH
def test_a_file_that_is_not_to_be_resumed_is_kept(tmp_path: Path, rows: Rows) -> None:
    path = tmp_path / "results"
    with OutputFile(path, rows, "m", resume=False) as file:
        file.write(rows.row("a", "m", BEST, None))
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"exists already\. Go on from it with --resume"):
        OutputFile(path, rows, "m", resume=False)
    with pytest.raises(UsageError, match=r"has results of model 'm', not 'n'"):
        OutputFile(path, rows, "n", resume=True)
    assert path.read_bytes() == before


REMEDIES = [
    (JsonRows(), CsvRows(2, FIELDS), "with --json. Give --json in the place of --csv, or another"),
    (CsvRows(3, FIELDS), JsonRows(), "with --csv. Give --csv --top 3 in the place of --json, or"),
    (
        CsvRows(3, FIELDS),
        CsvRows(2, FIELDS),
        "with other columns. Give --csv --top 3 in the place of --csv --top 2, or another",
    ),
    (CsvRows(2, FIELDS), CsvRows(2, FIELDS[:2]), "with other columns. Give another --output."),
]


@pytest.mark.parametrize(("before", "now", "said"), REMEDIES)
def test_options_that_do_not_fit_the_file_have_those_that_do_as_remedy(
    tmp_path: Path, before: Rows, now: Rows, said: str
) -> None:
    """Of names with quotes and line feeds too, which the other form reads as half a row."""
    for name in ("a", 'a "name"', '"', "two\nlines"):
        path = tmp_path / "results"
        with OutputFile(path, before, "m", resume=False) as file:
            file.write(before.row(name, "m", BEST, None))
        data = path.read_bytes()
        with pytest.raises(UsageError, match=re.escape(f"results: was written {said}")):
            OutputFile(path, now, "m", resume=True)
        assert path.read_bytes() == data
        OutputFile(path, before, "m", resume=True).__exit__(None, None, None)
        path.unlink()


def test_a_file_of_something_else_is_never_cut(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no results")
    with pytest.raises(UsageError, match="row 1 is not a result in this form"):
        OutputFile(path, CsvRows(1, FIELDS), "m", resume=True)
    with pytest.raises(UsageError, match="row 1 is not a result in this form"):
        OutputFile(path, JsonRows(), "m", resume=True)
    assert path.read_text() == "no results"


def _hold(path: str, ready: multiprocessing.Event, done: multiprocessing.Event) -> None:  # type: ignore[valid-type]
    with OutputFile(Path(path), JsonRows(), "m", resume=True):
        ready.set()
        done.wait(60)


def test_one_process_writes_it(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    ready, done = fork.Event(), fork.Event()
    other = fork.Process(target=_hold, args=(str(tmp_path / "r"), ready, done))
    other.start()
    assert ready.wait(60)
    with pytest.raises(UsageError, match="another process is writing it"):
        OutputFile(tmp_path / "r", JsonRows(), "m", resume=True)
    done.set()
    other.join()


def test_a_full_disk_and_a_place_without_permission_are_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write \(No such file"):
        OutputFile(tmp_path / "no/such", JsonRows(), "m", resume=False)
    if Path("/dev/full").exists():
        file = OutputFile(tmp_path / "r", JsonRows(), "m", resume=False)
        with file, open("/dev/full", "wb", buffering=0) as full:
            file._file.close()
            file._file = full
            with pytest.raises(UsageError, match=r"No space left.*--resume goes on"):
                file.write("x\n")
