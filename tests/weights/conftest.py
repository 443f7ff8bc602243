"""Untrained networks that several test files save and load, made once."""

from __future__ import annotations

import pytest
from torch import Tensor

from resnet_serve import weights
from resnet_serve.architectures import find


@pytest.fixture(scope="session")
def random18() -> weights.Weights:
    return weights.load("random:3", find("resnet18"))


@pytest.fixture(scope="session")
def random20() -> weights.Weights:
    return weights.load("random:7", find("resnet20"))


@pytest.fixture
def state(random20: weights.Weights) -> dict[str, Tensor]:
    return dict(random20.state)
