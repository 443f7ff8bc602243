"""`resnet-serve` in a process of its own, with a state directory of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from patience import PATIENCE_S


def environment(folder: Path) -> dict[str, str]:
    """Our packages on the path, and a state directory in `folder`."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "XDG_STATE_HOME": str(folder / "state"),
        "COLUMNS": "160",
    }


def serve(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run `resnet-serve WORDS` in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "resnet_serve.cli", *map(str, words)],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
