"""A GPU host, or a skip that says what is missing: `make test-gpu` runs this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resnet_convert import Conversion, convert
from resnet_convert.tensorrt.builder import BuildHost, open_build_host
from resnet_serve.datasets.synthetic import SyntheticImages


@pytest.fixture(scope="session")
def build_host() -> Iterator[BuildHost]:
    """This host's GPU and TensorRT; skips the test where there is none."""
    with open_build_host() as (opened, missing):
        if opened is None:
            pytest.skip(f"no GPU host: {missing}")
        yield opened


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """128 synthetic images, to calibrate untrained networks with."""
    folder = tmp_path_factory.mktemp("photographs")
    images = SyntheticImages(128, side=256)
    for index in range(len(images)):
        images.image(index).save(folder / f"{index:03}.png")
    return folder


@pytest.fixture(scope="session")
def engines(
    build_host: BuildHost, photographs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Conversion]:
    """`engines("resnet50", "int8")`: each plan built once, in one repository."""
    repository = tmp_path_factory.mktemp("gpu") / "models"
    made: dict[tuple[str, str], Conversion] = {}

    def engine(arch: str, precision: str) -> Conversion:
        if (arch, precision) not in made:
            options: dict[str, Any] = {"weights": "random", "calibration": str(photographs)}
            if arch == "resnet20":
                options = {"calibration": "digits", "validation": "digits"}
            made[arch, precision] = convert(
                arch=arch,
                precision=precision,
                target="tensorrt",
                name=f"{arch}_{precision}",
                repository=repository,
                batch=("1:8:16",),
                **options,
            )
        return made[arch, precision]

    return engine
