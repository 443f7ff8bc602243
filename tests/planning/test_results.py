"""The plan for its reader: table, lines, CSV and files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import planned
import pytest
from rich.console import Console

from resnet_serve import figures
from resnet_serve.optional import optional
from resnet_serve.planning import plan as planning
from resnet_serve.planning import results
from resnet_serve.planning.demand import Demand
from resnet_serve.planning.plan import Plan
from resnet_serve.planning.simulation import Effort


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("plan")
    source = planned.write(folder / "x.json", planned.load_test())
    table = folder / "prices.csv"
    table.write_text("machine,price_per_hour,speed\nsmall,0.1,1\nlarge,0.9,4\n")
    effort = Effort(replications=3, requests=600)
    return planning.make("net", Demand(700, 40), [source], table, effort=effort)


def test_the_table_has_what_a_failure_does(made: Plan) -> None:
    file = io.StringIO()
    Console(file=file, width=100).print(results.table(made))
    text = file.getvalue()
    assert "net: 700 requests/s with p99 ≤ 40 ms" in text
    assert "none left" in text, "of one large machine"
    assert "per million" in text
    assert "…" not in text
    rows = [line for line in text.splitlines() if line.strip().startswith(("small", "large"))]
    assert len(rows) == len(made.fleets) == 4


def test_the_lines_say_configuration_and_loss(made: Plan) -> None:
    lines = results.lines(made)
    assert any("version 3, 1 instance × 1 thread, batches up to 4" in line for line in lines)
    assert any("for 20 s, until it is noticed" in line for line in lines)


def test_a_row_for_every_point(made: Plan) -> None:
    rows = list(csv.DictReader(io.StringIO(results.to_csv(made))))
    assert list(rows[0]) == list(results.COLUMNS)
    assert all(results.COLUMNS.values())
    assert len(rows) == sum(len(curve.points()) for curve in made.curves)
    for row in rows:
        assert float(row["p99_low_ms"]) <= float(row["p99_ms"]) <= float(row["p99_high_ms"])
        if row["met"] == "True":
            assert float(row["p99_high_ms"]) <= 40
    planned_rates = [float(row["replicas"]) for row in rows if row["machine"] == "small"]
    assert made.fleets[0].replicas in planned_rates


def test_all_files_or_a_note(made: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = results.write(made, tmp_path)
    assert written.plot is not None
    document = json.loads(written.json.read_text())
    assert document["schema_version"] == 1
    assert document["sentence"] == made.sentence
    assert len(document["fleets"]) == 4
    gone = optional("no_such_package.figure", extra="plot")
    monkeypatch.setattr(figures, "matplotlib_figure", gone)
    without = results.write(made, tmp_path / "without")
    assert without.plot is None
    assert "resnet-serve[plot]" in str(without.note)
