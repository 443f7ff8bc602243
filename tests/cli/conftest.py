"""One deployed network for the commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from quick import quicken

from resnet_convert.pipeline import convert


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "models"
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch, cores=None)
        convert(
            arch="resnet20",
            weights="digits",
            validation="digits",
            validation_images=16,
            name="digits",
            repository=path,
        )
    return path
