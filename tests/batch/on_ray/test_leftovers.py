"""What a run that was killed has left open is ended, and nothing else."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from patience import PATIENCE_S, until

from resnet_serve.batch.on_ray import leftovers
from resnet_serve.batch.on_ray.leftovers import ended_with_us, users

HOLDS = (
    "import sys, time; file = open(sys.argv[1], 'w'); print('open', flush=True); time.sleep(600)"
)
RUN = """
import os, signal, sys
from pathlib import Path
from resnet_serve.batch.on_ray.leftovers import ended_with_us
with ended_with_us(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def holding(path: Path) -> subprocess.Popen[bytes]:
    """A process that has a file open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    return process


def test_a_run_that_is_killed_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "ray"
    left, other = holding(folder / "session" / "log"), holding(tmp_path / "ray-other" / "log")
    try:
        assert list(users(folder)) == [left.pid]
        run = subprocess.run([sys.executable, "-c", RUN, str(folder)], check=False)
        assert run.returncode == -signal.SIGKILL
        assert left.wait(PATIENCE_S) == -signal.SIGKILL
        assert until(lambda: not folder.exists())
        assert other.poll() is None
        assert (tmp_path / "ray-other" / "log").exists()
    finally:
        for each in (left, other):
            each.kill()
            each.communicate()


def test_a_run_that_ends_in_order_removes_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "ray"
    folder.mkdir()
    with ended_with_us(folder):
        (folder / "log").write_text("")
    assert not folder.exists()
    leftovers.end(folder)  # nothing to do
