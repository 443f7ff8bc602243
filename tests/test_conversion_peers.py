"""The benchmark of other converters: what it measures and keeps, with tools that are doubles."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace

import conversion_peers
import pytest
from peers import converter, converters_page
from peers.converted import SPEED
from peers.kept import Kept

from resnet_serve.errors import HostError

FOLDERS = {"task": Path("task"), SPEED: Path("speed")}


def tool(name: str, ms: float, correct: int) -> SimpleNamespace:
    def run(folder: Path, seconds: float) -> dict[str, float]:
        if not correct:
            raise HostError(f"{name} failed")
        return {"median_ms": ms, "convert_s": 1.0, "correct": correct, "images": 200}

    return SimpleNamespace(title=name, requirements=(), home=name, lines=7, run=run)


def test_pytorch_is_always_measured_and_a_tool_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = {"eager": tool("eager", 40, 198), "nncf": tool("nncf", 10, 196)}
    monkeypatch.setattr(conversion_peers, "CONVERTING", {**tools, "olive": tool("olive", 1, 0)})
    kept = Kept(tmp_path / "digits.jsonl")
    options = argparse.Namespace(rounds=3, converters=["nncf", "olive"], seconds=1)
    conversion_peers.measured(FOLDERS, kept, options)
    conversion_peers.measured(FOLDERS, kept, options)  # nothing is missing
    assert len(kept.rows("round")) == 6
    assert [row["failed"] for row in kept.rows("failed")] == ["olive failed"]
    eager, nncf = conversion_peers.table(kept, "digits")
    assert (eager["top1"], eager["points"], eager["speedup"]) == (99.0, 0.0, 1.0)
    assert (nncf["top1"], nncf["points"], nncf["speedup"]) == (98.0, -1.0, 4.0)
    assert (nncf["rounds"], nncf["lines"]) == (3, 7)


def row(name: str, **changed: object) -> dict[str, object]:
    numbers = {"points": 0.0, "median_ms": 9.0, "speedup": 4.0, "low": 3.9, "high": 4.1}
    facts = {"task": "digits", "images": 200, "top1": 99.0, "rounds": 2, "convert_s": 1.0}
    return {"converter": name, "lines": 7, **numbers, **facts, **changed}


def test_the_page_says_how_far_its_figures_can_be_trusted() -> None:
    found = {
        "taken": "2026-01-02T00:00:00",
        "host": {"cores": 2, "processor": "Some CPU", "instruction_sets": ["AVX2"]},
        "tools": {"eager": {"title": "PyTorch"}, "nncf": {"title": "NNCF"}},
        "rows": [row("eager", rounds=5), row("nncf")],
        "pressed": [0.1, 0.9, None],
        "failed": {"olive": "Olive failed: no module named requests"},
    }
    page = "\n".join(converters_page.lines(found, "conversion-peers-2026-01-02"))
    assert "At least 2 rounds were counted" in page
    assert "Before 1 of 3 measurements other tasks" in page
    assert "| NNCF | 99.00 | +0.00 | 9.0 | 4.00× (3.90–4.10) | 1.0 | 7 |" in page
    assert "\n- Olive failed: no module named requests\n" in page
    quiet = "\n".join(converters_page.lines({**found, "pressed": [0.1]}, "x"))
    assert "other tasks" not in quiet


def test_a_failure_has_its_reason_and_no_path_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converter, "CONVERTERS", tmp_path)
    (tmp_path / "evaluate.py").write_text("import no_such_module\n")
    broken = converter.Converter("broken", "Broken", "with_nothing")
    with pytest.raises(HostError) as caught:
        broken.run(tmp_path, 1)
    assert caught.value.what == (
        "Broken failed: ModuleNotFoundError: No module named 'no_such_module'"
    )
