"""A program gets its true arguments, and the process list shows others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from patience import until

from resnet_serve.triton.supervision.endpoints import Endpoints
from resnet_serve.triton.supervision.orders import Orders
from resnet_serve.triton.supervision.program import launch, secret_arguments
from resnet_serve.triton.supervision.program.child import Child

KEY = "0123456789abcdef"
PROGRAM = "import sys, time; print(*sys.argv[1:], sep='\\n', flush=True); time.sleep(60)"
WORDS = [f"--http={KEY}", "plain", f"--both={KEY}:{KEY}", "ünïcode", ""]


def child(folder: Path, *command: str) -> Child:
    orders = Orders(
        command=list(command),
        environment=dict(os.environ),
        directory=str(folder),
        scratch=str(folder),
        shm_prefix="none",
        endpoints=Endpoints("127.0.0.1", 1, 2, 3, "test", KEY),
    )
    with (folder / "output").open("wb") as output:
        return Child(orders, output.fileno())


def arguments(folder: Path, lines: int) -> list[str]:
    assert until(lambda: (folder / "output").read_text().count("\n") >= lines)
    return (folder / "output").read_text().splitlines()


@pytest.mark.parametrize("kind", ["program", "script"])
def test_the_program_gets_what_the_process_list_does_not_show(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-c", PROGRAM]
    if kind == "script":  # the kernel puts its interpreter before the arguments
        script = tmp_path / "script"
        script.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nread nothing\nsleep 60\n')
        script.chmod(0o755)
        command = [str(script)]
    started = child(tmp_path, *command, *WORDS)
    try:
        assert arguments(tmp_path, len(WORDS)) == WORDS
        shown = Path(f"/proc/{started.pid}/cmdline").read_bytes()
        assert KEY.encode() not in shown
        assert b"--both=hidden:hidden\0plain" in shown or b"--http=hidden\0plain" in shown
        assert not started.key_is_shown
    finally:
        started.end(0, lambda _: True)


NO_TRACING = """
import runpy, sys
sys.argv = sys.argv[1:]
made = runpy.run_path(sys.argv[0])
made["main"].__globals__["_traced"] = lambda: False
made["main"]()
"""


@pytest.mark.parametrize("where", ["in the child", "in its memory"])
def test_where_it_is_not_allowed_the_program_starts_nevertheless_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    if where == "in its memory":
        monkeypatch.setattr(secret_arguments, "_redirect", refused)
    else:
        untraced = tmp_path / "launch.py"
        untraced.write_text(
            NO_TRACING.replace("sys.argv[1:]", f"[{launch.__file__!r}, *sys.argv[1:]]")
        )
        monkeypatch.setattr(launch, "__file__", str(untraced))
    started = child(tmp_path, sys.executable, "-c", PROGRAM, *WORDS)
    try:
        assert arguments(tmp_path, len(WORDS)) == WORDS
        assert started.key_is_shown
    finally:
        started.end(0, lambda _: True)


def test_a_command_without_the_secret_is_left_alone(tmp_path: Path) -> None:
    assert secret_arguments.hide(["a", "b"], KEY) == (["a", "b"], {})
    assert secret_arguments.hide(["a", "b"], "") == (["a", "b"], {})
    started = child(tmp_path, sys.executable, "-c", PROGRAM, "plain")
    assert arguments(tmp_path, 1) == ["plain"]
    started.end(0, lambda _: True)


def test_a_program_that_does_not_exist_has_ended(tmp_path: Path) -> None:
    started = child(tmp_path, "/nothing/here", f"--key={KEY}")
    assert until(lambda: started.ended)
    assert started.status == 127
    assert KEY not in (tmp_path / "output").read_text()
    started.end(0, lambda _: True)


def test_a_child_that_has_ended_before() -> None:
    process = subprocess.Popen(["/bin/true"])
    secret_arguments.give(process.pid, KEY)
    assert process.wait() == 0
