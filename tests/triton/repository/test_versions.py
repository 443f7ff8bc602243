"""The versions of a repository: those that Triton sees, and those with a passport."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from deployments import deployment, stamp

from resnet_serve import passport
from resnet_serve.errors import InputFileError
from resnet_serve.triton.repository import Repository, versions


def test_the_versions_that_triton_sees(tmp_path: Path) -> None:
    for name in ("1", "10", "9", "0", "01", "latest", "²", "-1", "1.5"):
        (tmp_path / name).mkdir()
    (tmp_path / "2").write_text("a file")
    assert versions.of_model(tmp_path) == [1, 9, 10]
    assert versions.of_model(tmp_path / "2") == versions.of_model(tmp_path / "none") == []


def test_deployed_versions_are_those_with_a_passport(repository: Repository) -> None:
    repository.deploy(deployment("one"))
    repository.deploy(deployment("two"))
    (repository.path / "foreign" / "1").mkdir(parents=True)
    (repository.path / ".hidden" / "1").mkdir(parents=True)
    (repository.path / ".hidden" / "1" / passport.FILE_NAME).write_bytes(stamp("hidden"))
    (repository.path / "README.md").write_text("read me")
    found = [
        (row.name, row.version, row.passport.architecture)
        for row in repository.deployed()
        if row.passport
    ]
    assert found == [("net", 1, "one"), ("net", 2, "two")]


def test_a_broken_passport_is_named(repository: Repository) -> None:
    repository.deploy(deployment("one"))
    file = repository.path / "net" / "1" / passport.FILE_NAME
    file.write_text(json.dumps({"format": 1}))
    with pytest.raises(InputFileError, match="not a passport") as refusal:
        repository.deployed()
    assert refusal.value.where == str(file)


def test_no_repository_is_said(repository: Repository) -> None:
    with pytest.raises(InputFileError, match="no model repository") as refusal:
        repository.deployed()
    assert "resnet-convert" in str(refusal.value)
    assert repository.versions("net") == []


def test_a_repository_that_cannot_be_read_is_said(
    public_folder: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    repository = Repository(public_folder / "models")
    repository.deploy(deployment("one"))
    (repository.path / "net").chmod(0o700)
    with as_nobody(), pytest.raises(InputFileError, match="cannot be read"):
        repository.deployed()


def test_the_served_version_of_each_model(repository: Repository) -> None:
    for mark in ("one", "two"):
        repository.deploy(deployment(mark))
    found = repository.deployed()
    assert {name: each.version for name, each in versions.served(found).items()} == {"net": 2}
    assert versions.served(reversed(found)) == versions.served(found)
    assert versions.served([]) == {}


def test_a_version_is_found_by_its_model_or_by_itself(repository: Repository) -> None:
    for mark in ("one", "two"):
        repository.deploy(deployment(mark))
    model = repository.path / "net"
    (model / "3").mkdir()
    assert versions.find(model) == model / "2"
    assert versions.find(model / "1") == model / "1"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "there is no such directory"),
        ("net_preprocess", "is no model that resnet-convert deployed"),
        ("net/labels.txt", "there is no such directory"),
    ],
)
def test_what_is_no_version_is_refused(repository: Repository, name: str, said: str) -> None:
    repository.deploy(deployment("one"))
    path = repository.directory(name)
    with pytest.raises(InputFileError, match=re.escape(f"{path}: {said}")):
        versions.find(path)
