"""`resnet-serve promote`, `rollback`, `remove`: what they do and what they say."""

from __future__ import annotations

import json
from pathlib import Path

from deployments import NAMES, deployment, mark_of
from serve_command import serve

from resnet_serve.triton.repository import Repository


def test_versions_are_served_and_removed(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "model_repository")
    for mark in ("one", "two", "three"):
        repository.deploy(deployment(mark))

    back = serve(tmp_path, "rollback", "net")
    assert (back.returncode, back.stderr) == (0, "")
    assert "net version 2 is the served version, before it version 3" in back.stdout
    assert [mark_of(repository, name) for name in NAMES] == ["two"] * 3
    rows = json.loads(serve(tmp_path, "list", "--json").stdout)
    assert {row["version"]: row["served"] for row in rows} == {1: False, 2: True, 3: False}

    forward = serve(tmp_path, "promote", "net", 3)
    assert "net version 3 is the served version, before it version 2" in forward.stdout
    assert [mark_of(repository, name) for name in NAMES] == ["three"] * 3

    gone = serve(tmp_path, "remove", "net:2")
    assert "removed net version 2 (net, net_image, net_preprocess)" in gone.stdout
    assert repository.versions("net") == [1, 3]

    for words, code, said in (
        (("remove", "net:3"), 2, "First: resnet-serve rollback net"),
        (("remove", "net:x"), 2, "NAME:VERSION"),
        (("rollback", "net", 7), 2, "resnet-serve promote net 7"),
        (("promote", "net", 7), 2, "net has no version 7"),
        (("promote", "nett", 1), 2, "There is net"),
        (("promote", "net", 1, "--repository", tmp_path / "none"), 5, "no model repository"),
    ):
        refused = serve(tmp_path, *words)
        assert refused.returncode == code, refused.stderr
        assert said in refused.stderr
        assert refused.stderr.count("\n") == 1
    assert "removed net (" in serve(tmp_path, "remove", "net").stdout
    assert list(repository.path.iterdir()) == []
