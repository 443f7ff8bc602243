"""Every benchmark starts, says what it measures, and its results say where they were taken."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import in_process
import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"
COMMANDS = sorted(p for p in FOLDER.glob("*.py") if "__main__" in p.read_text(encoding="utf-8"))
RESULTS = sorted((FOLDER / "results").glob("*.json"))


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_it_starts_and_says_what_it_measures(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = in_process.script(path, ["--help"], capsys)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results_carry_their_hardware_date_and_rows(path: Path) -> None:
    facts = json.loads(path.read_text(encoding="utf-8"))
    assert {"what", "taken", "host", "versions"} <= set(facts)
    assert facts["taken"][:10] in path.stem
    with path.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file))
