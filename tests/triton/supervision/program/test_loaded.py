"""Directories that hold no model do not keep a server from starting: the models are named.

`test_completion` starts, and starts again, a real server beside such directories.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_serve.triton.supervision.program.loaded import named
from resnet_serve.triton.supervision.servable import is_model, left_out

ALL = "--load-model=*"


def command(*repositories: Path, load: str = ALL) -> list[str]:
    given = [f"--model-repository={each}" for each in repositories]
    return ["tritonserver", *given, load, "--id=a"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A model with a configuration, one with a version alone, and three directories of neither."""
    made = tmp_path / "models"
    for each in ("net", "bare/1", "lost+found", ".git/objects", "notes/drafts"):
        (made / each).mkdir(parents=True)
    (made / "net" / "config.pbtxt").touch()
    (made / "README.md").touch()
    return made


def test_models_are_named_where_there_is_more(repository: Path, tmp_path: Path) -> None:
    (second := tmp_path / "second").mkdir()
    (second / "more" / "1").mkdir(parents=True)
    found = named(command(repository, second, tmp_path / "none"))
    at = found.index("--id=a")
    assert found[at - 3 : at] == [f"--load-model={each}" for each in ("bare", "net", "more")]
    assert ALL not in found


def test_other_commands_stay_as_they_are(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "only" / "net" / "1").mkdir(parents=True)
    for each in (
        command(tmp_path / "only"),
        command(tmp_path / "none"),
        command(repository / "notes"),
        command(repository, load="--load-model=net"),
        ["tritonserver", f"--model-repository={repository}"],
    ):
        assert named(each) == each


def test_it_is_said_of_what_may_be_meant_as_a_model(repository: Path) -> None:
    assert list(left_out(repository)) == [
        f"{repository / 'notes'} is not loaded: it has neither a config.pbtxt nor a version"
    ]


def test_a_model_that_cannot_be_read_stays_a_model(tmp_path: Path) -> None:
    """Triton then says why it does not load it; `lost+found` is of the system's administrator."""
    assert is_model(tmp_path / "unreadable")
    assert not is_model(tmp_path / "lost+found")
