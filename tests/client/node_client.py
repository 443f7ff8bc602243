"""The Node client as npm packs and installs it, where there is npm."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S
from source_tree import ROOT

CLIENT = ROOT / "clients" / "node"
PACKAGE: dict[str, Any] = json.loads((CLIENT / "package.json").read_text())


def run(words: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def pack(folder: Path) -> tuple[Path, list[str]]:
    """The archive that npm makes, and the files in it; skips the test without npm."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("no node and npm here")
    done = run(["npm", "pack", CLIENT, "--json"], folder)
    assert done.returncode == 0, done.stderr
    (about,) = json.loads(done.stdout)
    return folder / about["filename"], sorted(each["path"] for each in about["files"])


def install(config: pytest.Config) -> Path:
    """A folder with the packed client; its dependencies are kept for the next time.

    Skips the test where npm cannot install them.
    """
    key = hashlib.sha256(json.dumps(PACKAGE["dependencies"]).encode()).hexdigest()[:12]
    folder = config.rootpath / ".pytest_cache" / f"node-client-{key}"
    target = folder / "node_modules" / PACKAGE["name"]
    with tempfile.TemporaryDirectory() as temporary:
        archive, _ = pack(Path(temporary))
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "node_modules" / "@grpc" / "grpc-js").is_dir():
            wanted = [f"{name}@{version}" for name, version in PACKAGE["dependencies"].items()]
            options = ["--no-audit", "--no-fund", "--ignore-scripts"]
            done = run(["npm", "install", *options, *wanted], folder)
            if done.returncode != 0:
                pytest.skip(f"npm cannot install the dependencies: {done.stderr[-200:]}")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        unpack = ["tar", "-xzf", archive, "-C", target, "--strip-components=1"]
        assert run(unpack, folder).returncode == 0
    return folder
