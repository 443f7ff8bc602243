"""How long tasks waited for a CPU, as Linux counts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_serve.parity.pressure import Reading, lately, read

TEXT = (
    "some avg10=64.24 avg60=82.42 avg300=87.24 total=10660375199\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
)


def test_the_kernels_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "cpu"
    file.write_text(TEXT)
    assert read(file).waited_us == 10_660_375_199
    assert lately(file) == 0.6424


@pytest.mark.parametrize("text", [None, "", "some", "full avg10=0.00 total=7\n", "é"])
def test_where_it_is_not_counted_there_is_none(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "cpu"
    if text is not None:
        file.write_text(text)
    assert read(file).waited_us is None
    assert lately(file) is None
    assert read(file).share_since(Reading(0.0, 5)) is None


def test_the_share_is_of_the_time_between() -> None:
    later = Reading(12.0, 1_500_000)
    assert later.share_since(Reading(10.0, 500_000)) == 0.5
    assert later.share_since(Reading(11.9, 0)) == 1.0
    assert later.share_since(later) is None


@pytest.mark.skipif(read().waited_us is None, reason="this host does not count it")
def test_more_threads_than_cores_press_this_host() -> None:
    """Programs of their own: threads of one interpreter take turns."""
    before = read()
    code = "import time\nend = time.time() + 1\nwhile time.time() < end: pass"
    burn = [sys.executable, "-c", code]
    programs = [subprocess.Popen(burn) for _ in range(3 * len(os.sched_getaffinity(0)))]
    for program in programs:
        program.wait(timeout=60)
    share = read().share_since(before)
    assert share is not None
    assert share > 0.25
