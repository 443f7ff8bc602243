"""Wheels that pip accepts, and a pip that looks for them where a test says and nowhere else."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from resnet_serve.loadtest.perf_wheel import Wheel

TINY = Wheel("2.51.0", (2, 0), "0" * 64, 1000)


def write_wheel(folder: Path, wheel: Wheel, program: bytes | None) -> Path:
    """A wheel that pip accepts; with `program` as its perf_analyzer."""
    folder.mkdir(exist_ok=True)
    path = folder / wheel.file_name
    about = f"tritonclient-{wheel.version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        name = f"Name: tritonclient\nVersion: {wheel.version}\n"
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\n{name}")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-manylinux1_x86_64\n")
        archive.writestr(f"{about}/RECORD", "")
        if program is not None:
            entry = f"tritonclient-{wheel.version}.data/data/bin/perf_analyzer"
            archive.writestr(entry, program)
    return path


def pip_from(
    monkeypatch: pytest.MonkeyPatch, *, folder: Path | None = None, index: str | None = None
) -> None:
    """Give pip one folder or one index, and none of this machine's settings."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    if index is not None:
        monkeypatch.setenv("PIP_INDEX_URL", index)
    if folder is not None:
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
