"""A command that a message names acts on the repository that the user named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from deployments import deployment
from serve_command import serve

import resnet_convert
import resnet_serve
from resnet_convert.cli.convert import app as convert_app
from resnet_serve.cli.application import app as serve_app
from resnet_serve.console import remedies
from resnet_serve.triton.repository import Repository

APPS = {"resnet-serve": serve_app, "resnet-convert": convert_app}
SOURCES = [
    path
    for package in (resnet_serve, resnet_convert)
    for path in sorted(Path(package.__path__[0]).rglob("*.py"))
]


def parameters(program: str) -> dict[str, set[str]]:
    """The commands of a program, with the names of their parameters."""
    return {
        str(each.name): set(each.callback.__annotations__) if each.callback else set()
        for each in APPS[program].registered_commands
    }


@pytest.mark.parametrize("program", APPS)
def test_the_table_has_the_commands_on_a_repository(program: str) -> None:
    takes = {name for name, has in parameters(program).items() if "repository" in has}
    assert set(remedies.OF_A_REPOSITORY[program]) == takes - {"compare"}


def test_every_command_that_the_source_names_is_there() -> None:
    named = re.compile(r"(?:`|: |, or )(resnet-serve|resnet-convert) ([a-z][a-z-]*)\b")
    known = {program: parameters(program).keys() for program in APPS}
    missing = {
        f"{path.name}: {program} {verb}"
        for path in SOURCES
        for program, verb in named.findall(path.read_text(encoding="utf-8"))
        if verb not in (*known[program], "writes")
    }
    assert missing == set()


@pytest.mark.parametrize(
    ("text", "there"),
    [
        (
            "First: resnet-serve promote net 7, or resnet-serve withdraw net",
            "First: resnet-serve promote --repository 'my models' net 7, or resnet-serve withdraw "
            "--repository 'my models' net",
        ),
        (
            "resnet-serve verify --host says",
            "resnet-serve verify --repository 'my models' --host says",
        ),
        ("an earlier resnet-serve deployed it", "an earlier resnet-serve deployed it"),
        ("resnet-serve up --repository x", "resnet-serve up --repository x"),
        ("resnet-convert deploys a model.", "resnet-convert deploys a model."),
    ],
)
def test_commands_name_the_repository(text: str, there: str) -> None:
    assert remedies.in_repository(text, Path("my models")) == there
    for default in (None, Path("model_repository"), Path("model_repository").absolute()):
        assert remedies.in_repository(text, default) == text


def test_the_command_of_an_error_is_one_that_works(tmp_path: Path) -> None:
    elsewhere = Repository(tmp_path / "their models")
    for mark in ("one", "two"):
        elsewhere.deploy(deployment(mark))
    named = ("--repository", elsewhere.path)
    assert serve(tmp_path, "rollback", "net", *named).returncode == 0

    refused = serve(tmp_path, "rollback", "net", 2, *named)
    assert refused.returncode == 2
    command = f"resnet-serve promote --repository '{elsewhere.path}' net 2"
    assert command in refused.stderr

    words = ["promote", "--repository", str(elsewhere.path), "net", "2"]
    assert "net version 2 is the served version" in serve(tmp_path, *words).stdout
