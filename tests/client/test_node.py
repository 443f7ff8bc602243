"""The Node client against the real server, and as npm packs it."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import triton_proto
from patience import PATIENCE_S
from served_digits import Pictures
from source_tree import ROOT

from resnet_client import Classifier
from resnet_serve import __version__

CLIENT = ROOT / "clients" / "node"
SCRIPT = Path(__file__).parent / "node" / "classify.js"
PACKAGE = json.loads((CLIENT / "package.json").read_text())


def run(words: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.fixture(scope="module")
def npm() -> str:
    found = shutil.which("npm")
    if found is None or shutil.which("node") is None:
        pytest.skip("no node and npm here")
    return found


@pytest.fixture(scope="module")
def packed(npm: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The archive that npm makes, and the files in it."""
    folder = tmp_path_factory.mktemp("packed")
    done = run([npm, "pack", CLIENT, "--json"], folder)
    assert done.returncode == 0, done.stderr
    (about,) = json.loads(done.stdout)
    return folder / about["filename"], sorted(each["path"] for each in about["files"])


@pytest.fixture(scope="module")
def installed(npm: str, packed: tuple[Path, list[str]], pytestconfig: pytest.Config) -> Path:
    """A folder with the packed client and its dependencies, kept for the next time."""
    archive, _ = packed
    key = hashlib.sha256(json.dumps(PACKAGE["dependencies"]).encode()).hexdigest()[:12]
    folder = pytestconfig.rootpath / ".pytest_cache" / f"node-client-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "node_modules" / "@grpc" / "grpc-js").is_dir():
        wanted = [f"{name}@{version}" for name, version in PACKAGE["dependencies"].items()]
        done = run([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *wanted], folder)
        if done.returncode != 0:
            pytest.skip(f"npm cannot install the dependencies: {done.stderr.splitlines()[-1:]}")
    target = folder / "node_modules" / PACKAGE["name"]
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    subprocess.run(["tar", "-xzf", archive, "-C", target, "--strip-components=1"], check=True)
    return folder


def test_the_package_holds_what_it_needs_and_nothing_else(packed: tuple[Path, list[str]]) -> None:
    _, files = packed
    assert files == [
        "LICENSE",
        "README.md",
        "index.d.ts",
        "index.js",
        "lib/classifier.js",
        "lib/connection.js",
        "lib/errors.js",
        "lib/predictions.js",
        "package.json",
        "proto/LICENSE",
        "proto/grpc_service.proto",
        "proto/model_config.proto",
    ]
    assert PACKAGE["version"] == __version__
    assert (CLIENT / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("name", triton_proto.FILES)
def test_the_protocol_is_that_of_tritonclient(name: str) -> None:
    committed = (CLIENT / "proto" / name).read_text()
    assert committed == triton_proto.written(name), "run python tests/support/triton_proto.py"


def test_the_types_declare_what_the_package_exports(installed: Path) -> None:
    code = "console.log(JSON.stringify(Object.keys(require('resnet-client'))))"
    done = run(["node", "-e", code], installed)
    declared = (CLIENT / "index.d.ts").read_text()
    names = json.loads(done.stdout)
    assert len(names) == 8
    assert sorted(names) == sorted(
        line.split()[2] for line in declared.splitlines() if line.startswith("export class ")
    )


@pytest.mark.triton
def test_it_gives_what_the_python_client_gives(
    installed: Path, url: str, pictures: Pictures
) -> None:
    paths = [str(path) for path in pictures.paths[:20]]
    with Classifier(url, "resnet20", decode="server") as classifier:
        expected = classifier.classify(paths[0], top=10)
        labels = [classifier.classify(path, top=1)[0].label for path in paths]
    script = shutil.copy(SCRIPT, installed)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        absent = f"127.0.0.1:{bound.getsockname()[1]}"
        done = run(["node", script, url, absent, *paths], installed)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert found["one"] == found["bytes"]
    assert [(each["label"], each["index"]) for each in found["one"]] == [
        (each.label, each.index) for each in expected
    ]
    for theirs, ours in zip(found["one"], expected, strict=True):
        assert theirs["logit"] == pytest.approx(ours.logit, abs=1e-6)
        assert theirs["probability"] == pytest.approx(ours.probability, abs=1e-9)
    assert found["standard"] == 5

    *good, no_image, missing = found["many"]
    assert [(each["image"], each["label"]) for each in good] == list(
        zip(paths, labels, strict=True)
    )
    assert "BadImageError" in no_image["error"]
    assert "not an image" in no_image["error"]
    assert missing["error"] == "BadImageError: /no/such.png: cannot read (ENOENT)"
    assert found["counts"] == list(range(1, 23))

    kinds = {name: error["kind"] for name, error in found["refused"].items()}
    assert kinds == {
        "top": "UsageError",
        "several": "UsageError",
        "model": "UsageError",
        "version": "UsageError",
        "url": "UsageError",
        "timeout": "UsageError",
        "unknown": "ModelError",
        "bad": "BadImageError",
        "absent": "UnavailableError",
        "late": "DeadlineError",
        "closed": "ClientError",
    }
    assert all(error["ours"] for error in found["refused"].values())
    assert found["refused"]["absent"]["message"] == f"no server answers at {absent}"
