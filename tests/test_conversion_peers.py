"""The benchmark of other converters: what it measures and keeps, with tools that are doubles."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace

import conversion_peers
import pytest
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
