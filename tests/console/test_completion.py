"""What the shell offers: names that exist, of the repository that the command is given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_serve.architectures import ARCHITECTURES
from resnet_serve.console import completion


def completed(program: str, line: str, folder: Path) -> list[str]:
    """The words that bash gets for this line, whose last word is being typed."""
    words = line.split(" ")
    found = subprocess.run(
        [str(Path(sys.executable).parent / program)],
        env={
            **os.environ,
            f"_{program.upper().replace('-', '_')}_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,  # it also says where nothing is to be offered
    )
    assert "Traceback" not in found.stderr
    return found.stdout.split()


def repository(path: Path, *models: str) -> Path:
    for model in models:
        (path / model).mkdir(parents=True)
        (path / model / "config.pbtxt").touch()
    (path / "no_model").mkdir(parents=True, exist_ok=True)
    return path


def test_architectures_that_begin_so_with_what_they_are() -> None:
    found = completion.architectures("resnet50")
    assert ("resnet50", ARCHITECTURES["resnet50"].summary) in found
    assert {name for name, _ in found} == {
        name for name in ARCHITECTURES if name.startswith("resnet50")
    }
    assert completion.architectures("vgg") == []


@pytest.mark.parametrize(
    ("program", "line", "expected"),
    [
        ("resnet-convert", "resnet-convert --arch preact_resnet10", {"preact_resnet101"}),
        ("resnet-serve", "resnet-serve rollback cl", {"clothes", "clothes_image"}),
        ("resnet-serve", "resnet-serve verify --repository other di", {"digits"}),
        ("resnet-serve", "resnet-serve roll", {"rollback"}),
    ],
)
def test_in_a_shell(tmp_path: Path, program: str, line: str, expected: set[str]) -> None:
    repository(tmp_path / "model_repository", "clothes", "digits_old")
    repository(tmp_path / "model_repository.images", "clothes_image")
    repository(tmp_path / "other", "digits")
    assert expected <= set(completed(program, line, tmp_path))
    if "repository" in line:
        assert "digits_old" not in completed(program, line, tmp_path)


def test_without_a_repository_there_is_nothing_to_offer(tmp_path: Path) -> None:
    assert completed("resnet-serve", "resnet-serve rollback d", tmp_path) == []
