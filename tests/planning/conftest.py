"""Simulations of the search that are shorter than a user's."""

from __future__ import annotations

import pytest

from resnet_serve.planning import search
from resnet_serve.planning.simulation import Effort


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "QUICK", Effort(replications=3, requests=400))
