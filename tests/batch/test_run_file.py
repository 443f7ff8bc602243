"""The output folder of a run: one process at a time, and none is left of one that did not begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_serve.batch import run_file
from resnet_serve.errors import UsageError


def fail(output: Path) -> None:
    with pytest.raises(UsageError, match="no such model"), run_file.alone(output):
        raise UsageError("no such model")


def test_a_run_that_did_not_begin_leaves_no_folder(tmp_path: Path) -> None:
    fail(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    fail(tmp_path / "out")
    assert (tmp_path / "out").is_dir()


def test_what_was_done_stays(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(UsageError), run_file.alone(output):
        (output / "part-000000.parquet").touch()
        raise UsageError("the server is gone")
    assert {each.name for each in output.iterdir()} == {"part-000000.parquet", run_file.LOCK_FILE}


def test_another_run_is_kept_out_and_leaves_the_folder(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with run_file.alone(output):
        with (
            pytest.raises(UsageError, match="another run is writing there now"),
            run_file.alone(output),
        ):
            pass
        assert output.is_dir()
