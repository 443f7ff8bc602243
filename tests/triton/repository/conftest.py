"""Repositories on a disk that is quick to sync."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnet_serve.triton.repository import Repository


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder where fsync costs nothing, for what is done hundreds of times."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def repository(memory: Path) -> Repository:
    return Repository(memory / "some" / "models")
