"""What would be published: built as `make dist` does, complete, with metadata that is good."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

import resnet_serve

ROOT = Path(__file__).parents[1]
NAME = f"resnet_serve-{resnet_serve.__version__}"
PACKAGES = ("resnet_serve", "convert/resnet_convert", "clients/python/resnet_client")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    words = ("build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def wheel(dist: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(dist / f"{NAME}-py3-none-any.whl")


def test_both_are_built_and_their_metadata_is_good(dist: Path) -> None:
    files = sorted(path.name for path in dist.iterdir())
    assert files == [f"{NAME}-py3-none-any.whl", f"{NAME}.tar.gz"]
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, dist.iterdir())],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_has_every_module_and_file_of_the_packages(dist: Path) -> None:
    names = set(wheel(dist).namelist())
    for package in PACKAGES:
        folder = ROOT / package
        tracked = subprocess.run(
            ["git", "ls-files", "."], cwd=folder, capture_output=True, text=True, check=True
        )
        for line in tracked.stdout.splitlines():
            assert f"{folder.name}/{line}" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]


def test_the_wheel_is_built_from_the_source_distribution_alone(dist: Path) -> None:
    """`build` makes it from there: what the archive lacks would be missing in the wheel."""
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        names = archive.getnames()
    for file in ("README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml"):
        assert f"{NAME}/{file}" in names


def test_the_metadata(dist: Path) -> None:
    found: Message = BytesParser().parsebytes(
        wheel(dist).read(f"{NAME}.dist-info/METADATA"), headersonly=True
    )
    assert found["Name"] == "resnet-serve"
    assert found["Version"] == resnet_serve.__version__
    assert found["License-Expression"] == "Apache-2.0"
    assert found["Description-Content-Type"] == "text/markdown"
    required = [each for each in found.get_all("Requires-Dist", []) if "extra ==" not in each]
    assert not [each for each in required if each.startswith(("torch", "onnx", "nvidia"))]
