"""What a server would load: said before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import versioned

from resnet_serve.triton.repository import Repository
from resnet_serve.verification import starting


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "models")
    versioned.deploy(made)
    return made


def test_what_was_deployed_is_nothing_to_speak_of(repository: Repository) -> None:
    found = repository.deployed()
    assert list(starting.unproved(found)) == []
    assert list(starting.unloadable(found, repository.path)) == []


def test_an_edited_copy_is_named_for_the_served_version_alone(repository: Repository) -> None:
    versioned.deploy(repository)
    (repository.path / "net" / "labels.txt").write_text("edited\n")
    (line,) = starting.unproved(repository.deployed())
    assert line.startswith("net version 2: ")
    assert "labels.txt is not that of version 2" in line


def test_a_plan_that_is_not_built_is_an_error_with_its_command(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = repository.deployed()
    monkeypatch.setattr(starting.listing, "unbuilt", list)
    (error,) = starting.unloadable(found, repository.path)
    assert "the plan of net version 1 is not built" in str(error)
    assert f"resnet-convert build-plan {found[0].path}" in str(error)
    assert error.exit_code == 4
