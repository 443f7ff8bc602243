"""`resnet-serve` in this process, and the environment it has, with a state directory of its own."""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from in_process import Done

from resnet_serve import cli, console

COLUMNS = 160


def environment(folder: Path) -> dict[str, str]:
    """Our packages on the path, and a state directory in `folder`."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "XDG_STATE_HOME": str(folder / "state"),
        "COLUMNS": str(COLUMNS),
    }


def serve(folder: Path, *words: object) -> Done:
    """Run `resnet-serve WORDS` in `folder`, in this process: no import is paid for again."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        patch.setattr(sys, "argv", ["resnet-serve", *map(str, words)])
        for each in (console.out, console.err):  # made before, with the width of that time
            patch.setattr(each, "_width", COLUMNS)
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stopped:
            cli.main()
    return Done(int(stopped.value.code or 0), out.getvalue(), err.getvalue())
