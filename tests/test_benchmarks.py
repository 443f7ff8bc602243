"""Every benchmark starts, says what it measures, and its results say where they were taken."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import in_process
import pytest
import recorded
import rtx

from resnet_convert.tensorrt.inspection import Inspection
from resnet_convert.tensorrt.judging.verdict import Verdict
from resnet_serve.architectures import ARCHITECTURES
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


def loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A benchmark as a module."""
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_the_ratios_of_a_busy_host_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    runtimes = loaded("runtimes", monkeypatch)
    quiet = runtimes.stated(Ratio(2.0, 1.9, 2.1, 0.1))
    assert runtimes.ratio_text(quiet) == " 2.00× [1.90–2.10]"
    for busy in (Ratio(4273.1, 1.9, 9000.0), Ratio(2.0, 1.9, 2.1, 0.9)):
        row = runtimes.stated(busy)
        assert row["speedup"] == ""
        assert runtimes.ratio_text(row).startswith("not stated: host busy")
        assert "4273" not in runtimes.ratio_text(row)


# --- benchmarks/tensorrt_rtx.py ------------------------------------------------------------------


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Any:
    return loaded("tensorrt_rtx", monkeypatch)


def test_every_network_is_built_in_both_precisions(builds: Any) -> None:
    keys = [key for row in ARCHITECTURES.values() for key in builds.keys(row)]
    assert len(keys) == len(set(keys))
    usual = {(name, kind) for name, kind, targets in keys if targets == "8.0,8.6,8.9,12.0"}
    assert usual == {(name, kind) for name in ARCHITECTURES for kind in ("fp16", "int8")}
    alone = {name for name, _, targets in keys if targets == "12.0"}
    assert "resnet50" in alone
    assert "resnet1202" not in alone


def test_an_interrupted_run_goes_on_where_it_was(builds: Any, tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "rows.jsonl"
    assert builds.kept(path) == {}
    rows = [
        {"network": "resnet20", "precision": kind, "targets": "8.6", "build_s": 0.5}
        for kind in ("fp16", "int8")
    ]
    for row in rows:
        builds.keep(path, row)
    assert list(builds.kept(path).values()) == rows
    assert ("resnet20", "int8", "8.6") in builds.kept(path)
    assert list(builds.measured(ARCHITECTURES["resnet20"], [], judge=None)) == []


def test_a_row_is_what_the_real_builder_made(builds: Any) -> None:
    key = ("resnet20", "fp16", "8.6")
    ((found, row),) = builds.measured(ARCHITECTURES["resnet20"], [key], rtx.judge())
    assert found == key
    assert (row["lint"], row["outcome"]) == ("kept", "built")
    assert (row["convolutions"], row["as_asked"], row["others"]) == (19, 19, "")
    assert (row["additions"], row["fused"]) == (9, 9)
    assert 0 < row["plan_mb"] < 3
    assert "19 of 19 convolutions, 9 of 9 additions fused" in builds.shown(row)
    summary = builds.summary([row], "1.7.1")
    assert summary["fp16"]["built"] == "1 of 1"
    assert summary["fp16"]["convolutions_as_asked"] == "19 of 19"
    assert summary["int8"]["built"] == "0 of 0"


def test_what_is_not_as_asked_is_named(builds: Any) -> None:
    """The stem first: it is what a builder leaves in another precision."""
    found = {"conv1": ("int8", "fp16"), "conv2": ("int8", "int8"), "conv3": ("int8", None)}
    row = builds.facts(Verdict(parsed=True, plan_bytes=10**6), Inspection((), found, {"add": True}))
    assert (row["convolutions"], row["as_asked"]) == (3, 1)
    assert row["others"] == "conv1 fp16; conv3 not found"
    refused = builds.facts(Verdict(parsed=True, errors=("no tactic", "more")), None)
    assert refused["outcome"] == "the builder refuses: no tactic"
    assert refused["convolutions"] == ""
    crashed = builds.facts(Verdict(signal=11), None)
    assert crashed["outcome"] == "crashed"
    rows = [
        {"network": name, "precision": "int8", "lint": "kept", **facts}
        for name, facts in (("a", row), ("b", refused))
    ]
    summary = builds.summary(rows, "1.7.1")["int8"]
    assert (summary["networks"], summary["built"]) == (2, "1 of 2")
    assert summary["convolutions_as_asked"] == "1 of 3"
    assert summary["networks_with_others"] == ["a"]


def test_a_row_is_shown_in_words() -> None:
    row = {"round": 1, "queue": "", "load": 1.5, "p99_ms": 21.5, "ratio": None, "failed": 0}
    assert recorded.in_words(row) == "round 1, load 1.5, p99 ms 21.5, failed 0"
