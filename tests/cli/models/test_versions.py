"""`resnet-serve promote`, `rollback`, `remove`: what they do and what they say."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest
from deployments import NAMES, deployment, mark_of
from quick import quicken
from repositories import copied
from serve_command import serve

from resnet_convert.cli import screen
from resnet_convert.pipeline import convert
from resnet_serve.passport import ConvertedPassport
from resnet_serve.triton.repository import Repository, examples
from resnet_serve.triton.rollout import deployed
from resnet_serve.triton.server import Server


def test_versions_are_served_and_removed(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "model_repository")
    for mark in ("one", "two", "three"):
        repository.deploy(deployment(mark))

    back = serve(tmp_path, "rollback", "net")
    assert (back.returncode, back.stderr) == (0, "")
    assert "net version 2 is the served version, before it version 3" in back.stdout
    assert [mark_of(repository, name) for name in NAMES] == ["two"] * 3
    rows = json.loads(serve(tmp_path, "list", "--json").stdout)["models"]
    assert {row["version"]: row["served"] for row in rows} == {1: False, 2: True, 3: False}

    forward = serve(tmp_path, "promote", "net:3")
    assert "net version 3 is the served version, before it version 2" in forward.stdout
    assert [mark_of(repository, name) for name in NAMES] == ["three"] * 3

    gone = serve(tmp_path, "remove", "net", 2)
    assert "removed net version 2 (net, net_image, net_preprocess)" in gone.stdout
    assert repository.versions("net") == [1, 3]

    for words, code, said in (
        (("remove", "net:3"), 2, "First: resnet-serve rollback net"),
        (
            ("withdraw", "net:1"),
            2,
            "Give net. To serve another version: resnet-serve promote net:1",
        ),
        (("remove", "net:x"), 2, "NAME:VERSION"),
        (("rollback", "net", 7), 2, "resnet-serve promote net 7"),
        (("promote", "net", 7), 2, "net has no version 7"),
        (("promote", "net:1", 3), 2, "net:1 and 3 are two versions. Give one of them."),
        (("rollback", "net:"), 2, "'' is not a version. Give NAME or NAME:VERSION."),
        (("promote", "nett", 1), 2, "There is net"),
        (("promote", "net", 1, "--repository", tmp_path / "none"), 5, "no model repository"),
    ):
        refused = serve(tmp_path, *words)
        assert refused.returncode == code, refused.stderr
        assert said in refused.stderr
        assert refused.stderr.count("\n") == 1
    assert "removed net (" in serve(tmp_path, "remove", "net").stdout
    assert list(repository.path.iterdir()) == []


def test_a_path_that_is_not_utf_8_is_one(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"M\xfcller")  # Latin-1, or UTF-8 in the locale C
    folder.mkdir()
    repository = Repository(folder / "model_repository")
    for mark in ("one", "two"):
        repository.deploy(deployment(mark))
    back = serve(folder, "rollback", "net")
    assert (back.returncode, back.stderr) == (0, "")
    refused = serve(tmp_path, "promote", "net", 7, "--repository", folder / "none")
    assert refused.returncode == 5
    assert r"M\udcfcller" in refused.stderr


@pytest.mark.slow
def test_a_server_changes_with_its_repository(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conversion, a rollback and a removal while a detached server runs."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    copy = tmp_path / "model_repository"
    copied(repository, copy)
    server = Server(copy, port=0, drain_s=0).start(detach=True)
    try:
        with monkeypatch.context() as patch:
            quicken(patch, cores=None)
            # No request is in flight that would have to be waited for.
            patch.setattr(deployed, "serve", partial(deployed.serve, drain_s=0))
            done = convert(
                arch="resnet20",
                weights="digits",
                validation="digits",
                validation_images=16,
                name="digits",
                repository=copy,
            )
        models = ("digits", "digits_image", "digits_preprocess")
        assert (done.version, done.served_at) == (2, server.grpc)
        assert done.path is not None
        assert server.models == dict.fromkeys(models, ("2",))
        assert f"--url {server.grpc} --model digits" in str(screen.next_command(done))
        (new,) = [each for each in Repository(copy).deployed() if each.served]
        assert isinstance(new.passport, ConvertedPassport)
        kept = examples.read(done.path, list(new.passport.outputs))
        assert kept is not None
        assert len(kept) == 8

        back = serve(tmp_path, "rollback", "digits", "--drain", 0)
        assert (back.returncode, back.stderr.strip()) == (0, "")
        assert "8 example images are within the gate's budget" in back.stdout
        assert f"digits version 1 is the served version at {server.grpc}" in back.stdout
        assert server.models == dict.fromkeys(models, ("1",))

        (copy / "digits" / "2" / "model.onnx").write_bytes(b"no model")
        bad = serve(tmp_path, "promote", "digits", 2, "--drain", 0)
        assert bad.returncode == 4
        assert "version 1 is still served" in bad.stderr
        assert bad.stderr.strip().count("\n") == 0
        assert server.models == dict.fromkeys(models, ("1",))

        assert serve(tmp_path, "remove", "digits:2").returncode == 0
        assert serve(tmp_path, "remove", "digits").returncode == 0
        assert server.models == {}
    finally:
        server.stop()
