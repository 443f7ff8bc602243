"""Our commands without a process of their own: one import of PyTorch serves a whole test module."""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import typer

MODULES = {
    "resnet-convert": "resnet_convert.cli",
    "resnet-serve": "resnet_serve.cli",
    "resnet-classify": "resnet_client.cli",
}
# Where each has its typer application, with all of its commands.
APPS = {
    **MODULES,
    "resnet-convert": "resnet_convert.cli.convert",
    "resnet-serve": "resnet_serve.cli.application",
}

# typer makes a command line again each time, which takes a quarter of a second of resnet-convert.
_made = cache(typer.main.get_command)


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def command_lines_once(patch: pytest.MonkeyPatch) -> None:
    """Let every call of an application from now on have the command line of the first one."""
    patch.setattr(typer.main, "get_command", _made)


def command(
    program: str, arguments: Sequence[str], capsys: pytest.CaptureFixture[str], folder: Path
) -> Done:
    """Run one of our commands in this process and in `folder`, as its console script would."""
    main = importlib.import_module(MODULES[program]).main
    return _run(main, [program, *arguments], capsys, folder)


def script(path: Path, arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> Done:
    """Run a script in this process as `python PATH …` would."""

    def run() -> None:
        runpy.run_path(str(path), run_name="__main__")

    return _run(run, [str(path), *arguments], capsys, Path.cwd(), path.parent)


def _run(
    main: Callable[[], object],
    argv: list[str],
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    *paths: Path,
) -> Done:
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", argv)
        patch.setattr(sys, "path", [*map(str, paths), *sys.path])
        patch.chdir(folder)
        command_lines_once(patch)
        try:
            code = main()
        except SystemExit as stop:
            code = stop.code
    for name in set(sys.modules) - before:  # the user's own modules; the next may be another
        origin = getattr(sys.modules[name], "__file__", None)
        if origin and Path(origin).parent in (folder, *paths):
            del sys.modules[name]
    captured = capsys.readouterr()
    return Done(code if isinstance(code, int) else int(code is not None), *captured)
