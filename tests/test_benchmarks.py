"""Every benchmark starts, says what it measures, and its results say where they were taken."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path

import in_process
import pytest

from resnet_serve.parity.latency import Ratio

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


def test_the_ratios_of_a_busy_host_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("runtimes_benchmark", FOLDER / "runtimes.py")
    assert spec is not None
    assert spec.loader is not None
    runtimes = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, runtimes)
    spec.loader.exec_module(runtimes)
    quiet = runtimes.stated(Ratio(2.0, 1.9, 2.1, 0.1))
    assert runtimes.ratio_text(quiet) == " 2.00× [1.90–2.10]"
    for busy in (Ratio(4273.1, 1.9, 9000.0), Ratio(2.0, 1.9, 2.1, 0.9)):
        row = runtimes.stated(busy)
        assert row["speedup"] == ""
        assert runtimes.ratio_text(row).startswith("not stated: host busy")
        assert "4273" not in runtimes.ratio_text(row)
