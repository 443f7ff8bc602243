"""The Pareto plot."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from tunable import point, trial

from resnet_serve.tuning.goal import Goal
from resnet_serve.tuning.outcome.plot import plot

DEFAULT = trial(point(60, 20, 1), point(90, 45, 2), number=1)
WINNER = trial(point(120, 38, 8), number=2, version=2, instances=2)
TITLES = {1: "fp32 on ONNX Runtime", 2: "int8 on OpenVINO"}


def drawn(winner=WINNER, goal: Goal | None = None) -> str:
    trials = (DEFAULT, WINNER)
    return plot("net", trials, goal or Goal(p99_ms=50), TITLES, default=DEFAULT, winner=winner)


def test_it_is_the_same_for_the_same_trials() -> None:
    assert drawn() == drawn()
    assert drawn() != drawn(winner=None)
    assert ElementTree.fromstring(drawn()).tag.endswith("svg")


def test_it_names_versions_limit_and_choice() -> None:
    text = drawn()
    for named in ("version 2: int8 on OpenVINO", "p99 ≤ 50 ms", "chosen", "default", "frontier"):
        assert f"<!-- {named} -->" in text
    assert "<!-- chosen -->" not in drawn(winner=None)
    assert "<!-- default -->" not in drawn(goal=Goal(p99_ms=1))
