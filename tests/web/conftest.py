"""One real Triton with two versions that disagree, for all tests of the page and the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import shades
from web_servers import Web, serving

from resnet_serve.triton.server import Server
from resnet_serve.web.places import Places


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shades.deploy(tmp_path_factory.mktemp("web") / "models")


@pytest.fixture(scope="session")
def places(repository: Path) -> Iterator[Places]:
    """A real Triton on the repository, found by its address."""
    with Server(repository, port=0, drain_s=0) as server:
        yield Places(repository, server.grpc, server.metrics)


@pytest.fixture(scope="session")
def web(places: Places) -> Iterator[Web]:
    with serving(places) as started:
        yield started
