"""Every command explains itself, and says in one line what it refuses."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import in_process
import pytest
import typer
from serve_command import serve

from resnet_serve.tuning.run import Request


def test_the_schema_of_a_preprocessing_is_the_published_one(tmp_path: Path) -> None:
    done = serve(tmp_path, "schema", "preprocessing")
    published = Path(__file__).parents[2] / "docs" / "preprocessing.schema.json"
    assert (done.returncode, done.stdout) == (0, published.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("words", "code", "fragment"),
    [
        (("up", "--repository", "nowhere"), 2, "no such model repository"),
        (("up", "--listen", "0.0.0.0", "--repository", "nowhere"), 2, "or --insecure"),
        (("up", "--tls-cert", "x.pem", "--repository", "nowhere"), 2, "--tls-key"),
        (("list", "--repository", "nowhere"), 5, "no model repository"),
        (("verify",), 2, "or --host for this machine"),
        (("verify", "--host", "--repository", "nowhere"), 5, "no model repository"),
        (("schema", "postprocessing"), 2, "no schema of 'postprocessing'"),
        (("loadtest", "x", "--url", "127.0.0.1:9"), 4, "127.0.0.1:9"),
        (("loadtest", "x", "--concurrency", "4:1"), 2, "4:1"),
        (("loadtest", "x", "--rate", "fast"), 2, "fast"),
        (("loadtest", "x", "--rate", "40", "--concurrency", "4"), 2, "Give one of them"),
        (("loadtest", "x", "--slo", "50"), 2, "50ms"),
        (("tune", "x", "--p99", "50"), 2, "50ms"),
        (("tune", "x", "--p99", "50ms", "--repository", "nowhere"), 5, "no model repository"),
        (("tune", "x", "--p99", "50ms", "--rate", "-1"), 2, "--rate"),
    ],
)
def test_refusals_are_one_line(
    tmp_path: Path, words: tuple[str, ...], code: int, fragment: str
) -> None:
    done = serve(tmp_path, *words)
    assert done.returncode == code, done.stderr
    problems = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(problems) == 1
    assert fragment in problems[0]
    assert "Traceback" not in done.stderr


def commands() -> list[tuple[str, ...]]:
    """Every command of both programs, and the programs themselves."""
    found: list[tuple[str, ...]] = []
    for program in ("resnet-serve", "resnet-convert"):
        group: Any = typer.main.get_command(importlib.import_module(in_process.APPS[program]).app)
        found += [(program,), *((program, name) for name in group.commands)]
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_explains_itself(
    words: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    program, *command = words
    long, short = (
        in_process.command(program, [*command, option], capsys, tmp_path)
        for option in ("--help", "-h")
    )
    assert long.returncode == short.returncode == 0
    assert long.stdout == short.stdout
    assert "--help" in long.stdout
    assert max(map(len, long.stdout.splitlines())) <= 80
    # What does not fit ends in an ellipsis right before the frame.
    assert re.findall(r"\w… *│", long.stdout) == []


@pytest.mark.parametrize(
    ("program", "imported"),
    [
        ("resnet-serve", "resnet_serve.cli.application"),
        ("resnet-convert", "resnet_convert.cli.convert"),
        ("resnet-classify", "resnet_client.command.program"),
    ],
)
def test_ctrl_c_while_a_command_is_imported(
    program: str,
    imported: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name == imported:
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, imported, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    done = in_process.command(program, ["--help"], capsys, tmp_path)
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")


def test_an_interrupted_tune_says_how_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(request: Request, *_: object) -> None:
        request.journal.parent.mkdir()
        request.journal.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("resnet_serve.tuning.run.run", interrupted)
    done = in_process.command("resnet-serve", ["tune", "x", "--p99", "50ms"], capsys, tmp_path)
    assert done.returncode == 130
    assert (
        "tuning/tune-x.journal has what was measured: the same command with --resume goes on"
        in done.stderr
    )
