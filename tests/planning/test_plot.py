"""The plot of a plan: what it shows, and that it is the same again."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import planned
import pytest

from resnet_serve.planning import plan as planning
from resnet_serve.planning.demand import Demand
from resnet_serve.planning.plot import plot
from resnet_serve.planning.simulation import Effort

LITTLE = Effort(replications=2, requests=500)


@pytest.mark.parametrize("rate", [700, 20])
def test_the_limit_the_rate_and_one_less(tmp_path: Path, rate: float) -> None:
    source = planned.write(tmp_path / "x.json", planned.load_test())
    made = planning.make("net", Demand(rate, 40), [source], effort=LITTLE)
    text = plot(made)
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "p99 ≤ 40 ms" in text
    assert f"planned: {rate:g}/s" in text
    assert ("one of them less" in text) == (made.best.replicas > 1)
    assert plot(made) == text
