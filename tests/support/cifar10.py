"""CIFAR-10 with a really trained network, where the folder of acceptance data is; else a skip."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from source_tree import ROOT

from resnet_serve.datasets.selection import positions

FOLDER = ROOT.parent / "shared" / "data" / "cifar10"
CHECKPOINT = FOLDER / "resnet20-12fca82f.th"


def checkpoint() -> Path:
    """The checkpoint of the ResNet-20; skips the test where it is not."""
    if not CHECKPOINT.is_file():
        pytest.skip(f"{CHECKPOINT} is not here")
    return CHECKPOINT


def extract(part: str, count: int, place: Path) -> Path:
    """`count` images of "test" or "calibration", evenly chosen, as a folder with one per class."""
    archive = FOLDER / f"{part}-jpeg.tar"
    if not archive.is_file():
        pytest.skip(f"{archive} is not here")
    with tarfile.open(archive) as tar:
        files = sorted((each for each in tar if each.isfile()), key=lambda each: each.name)
        chosen = [files[index] for index in positions(len(files), count)]
        tar.extractall(place, chosen, filter="data")
    return place / part
