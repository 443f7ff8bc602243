"""A version from elsewhere is checked before it is copied in, and is then as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import versioned
from deployments import deployment
from repositories import at
from serve_command import serve
from versioned import NAMES

from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.triton.repository import ModelFiles, Repository, changes
from resnet_serve.triton.server import Server
from resnet_serve.verification import incoming


@pytest.fixture
def elsewhere(tmp_path: Path) -> Repository:
    """Version 1 and 2; the second answers what the first does."""
    made = Repository(tmp_path / "elsewhere" / "models")
    versioned.deploy(made)
    versioned.deploy(made, like=1)
    return made


@pytest.fixture
def here(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "model_repository")


@pytest.mark.parametrize("place", ["net/2", "net"], ids=["version", "model"])
def test_it_is_copied_in_whole(
    elsewhere: Repository, here: Repository, place: str, tmp_path: Path
) -> None:
    done = serve(tmp_path, "deploy", elsewhere.path / place)
    assert done.returncode == 0, done.stderr
    assert "copied, net version 1" in done.stdout
    assert "net version 1 is served" in done.stdout
    for name in NAMES:
        ours, theirs = here.directory(name) / "1", elsewhere.directory(name) / "2"
        assert {each.name: each.read_bytes() for each in ours.iterdir()} == {
            each.name: each.read_bytes() for each in theirs.iterdir()
        }
    (found,) = here.deployed()
    assert found.served
    again = serve(tmp_path, "deploy", elsewhere.path / place)
    assert "is there already, net version 1" in again.stdout
    assert here.versions("net") == [1]
    assert serve(tmp_path, "deploy", "net:1").returncode == 0


def test_no_part_of_another_model_is_replaced(
    elsewhere: Repository, here: Repository, tmp_path: Path
) -> None:
    (own, *_) = deployment("one")
    here.deploy([ModelFiles("net_image", own.config, own.files, own.version_files)])
    done = serve(tmp_path, "deploy", elsewhere.path / "net")
    assert done.returncode == 2
    assert "net would replace net_image, which belongs to net_image version 1" in done.stderr
    assert "Give another --repository" in done.stderr
    assert [each.name for each in here.deployed()] == ["net_image"]


def _unhash(path: Path) -> None:
    text = json.loads((path / "net/2/passport.json").read_text())
    del text["files"]
    (path / "net/2/passport.json").write_text(json.dumps(text))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "model": (lambda path: (path / "net/2/model.onnx").write_bytes(b"x"), "has sha256"),
    "labels": (lambda path: at(path, "net_image/2/labels.txt").write_text("x"), "has sha256"),
    "lost": (lambda path: at(path, "net_preprocess/2/preprocessing.json").unlink(), "is not there"),
    "partner": (lambda path: shutil.rmtree(at(path, "net_image")), "is not there"),
    "passport": (lambda path: (path / "net/2/passport.json").write_text("{}"), "not a passport"),
    "earlier": (_unhash, "without the hashes of its files"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_as_its_passport_says_is_refused(
    elsewhere: Repository, here: Repository, fault: str
) -> None:
    damage, said = FAULTS[fault]
    damage(elsewhere.path)
    with pytest.raises((InputFileError, UsageError), match=said):
        incoming.read(incoming.find(str(elsewhere.path / "net/2"), here))
    assert not here.path.exists()


def test_places_that_are_no_version(
    elsewhere: Repository, here: Repository, tmp_path: Path
) -> None:
    versioned.deploy(here)
    for source, said in (
        ("nowhere", "neither a folder nor NAME:VERSION"),
        ("net:7", "net has no version 7"),
        (str(tmp_path), "is no model that resnet-convert deployed"),
        (str(elsewhere.path), "is no model that resnet-convert deployed"),
        (str(elsewhere.directory("net_image") / "2"), "is no model"),
    ):
        with pytest.raises((InputFileError, UsageError), match=said):
            incoming.find(source, here)


@pytest.mark.slow
def test_a_running_server_serves_it_or_gives_it_a_share(
    elsewhere: Repository, here: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    versioned.deploy(here)
    server = Server(here.path, port=0, drain_s=0).start(detach=True)
    try:
        wrong = versioned.deploy(elsewhere, wrong=3.0)
        refused = serve(tmp_path, "deploy", elsewhere.path / "net" / str(wrong))
        assert refused.returncode == 3
        assert "version 1 is still served" in refused.stderr
        assert server.models == dict.fromkeys(NAMES, ("1",))
        tried = serve(tmp_path, "deploy", elsewhere.path / "net/2", "--canary", "10%")
        assert tried.returncode == 0, tried.stderr
        assert "net version 3 gets 10% of the requests" in tried.stdout
        found = changes.trying(here.deployed(), "net")
        assert found is not None
        done = serve(tmp_path, "deploy", "net:3", "--drain", 0)
        assert done.returncode == 0, done.stderr
        assert "3 example images are within the gate's budget" in done.stdout
        assert server.models == dict.fromkeys(NAMES, ("3",))
    finally:
        server.stop()
