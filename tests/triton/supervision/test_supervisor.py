"""The supervisor with a child that misbehaves, which the real server cannot be made to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import PATIENCE_S, until

from resnet_serve.triton.supervision.endpoints import Endpoints
from resnet_serve.triton.supervision.orders import DETACH, Orders

ROOT = Path(__file__).parents[3]
# Ignores SIGTERM, and has a child that does so too.
STUBBORN = "trap '' TERM; sleep 60 & touch armed; wait; sleep 60"


def supervise(
    folder: Path, *command: str, endpoints: Endpoints | None = None, drain_s: float = 2
) -> tuple[subprocess.Popen[bytes], int]:
    scratch = folder / "scratch"
    scratch.mkdir()
    orders = Orders(
        command=list(command),
        environment=dict(os.environ),
        directory=str(scratch),
        scratch=str(scratch),
        shm_prefix="resnet-serve-test-none_",
        drain_s=drain_s,
        endpoints=endpoints,
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "resnet_serve.triton.supervision.supervisor"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(orders.to_line())
    answer = process.stdout.readline().strip()
    process.stdout.close()
    return process, int(answer) if answer.isdigit() else 0


def group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_stubborn_server_is_killed_with_its_children(tmp_path: Path) -> None:
    process, server = supervise(tmp_path, "bash", "-c", STUBBORN)
    assert process.stdin is not None
    assert until((tmp_path / "scratch/armed").exists)
    process.stdin.close()
    assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGKILL
    assert group_is_gone(server)
    assert not (tmp_path / "scratch").exists()


def test_a_server_that_was_never_ready_has_nothing_to_finish(tmp_path: Path) -> None:
    nobody = Endpoints("127.0.0.1", 9, 9, 9, "none", "")
    process, server = supervise(
        tmp_path, "bash", "-c", STUBBORN, endpoints=nobody, drain_s=100 * PATIENCE_S
    )
    assert process.stdin is not None
    assert until((tmp_path / "scratch/armed").exists)
    process.stdin.close()
    assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGKILL
    assert group_is_gone(server)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_server(tmp_path: Path, number: signal.Signals) -> None:
    process, server = supervise(tmp_path, "sleep", "60")
    process.send_signal(number)
    assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGTERM
    assert group_is_gone(server)
    assert process.stdin is not None
    process.stdin.close()


def test_the_status_of_a_server_that_ends_by_itself(tmp_path: Path) -> None:
    process, _ = supervise(tmp_path, "bash", "-c", "exit 7")
    assert process.wait(timeout=PATIENCE_S) == 7
    assert process.stdin is not None
    process.stdin.close()


def test_detached_it_survives_the_pipe_and_still_obeys(tmp_path: Path) -> None:
    process, server = supervise(tmp_path, "sleep", "60")
    assert process.stdin is not None
    process.stdin.write(DETACH)
    process.stdin.close()
    time.sleep(1)
    assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGTERM
    assert group_is_gone(server)


def test_a_killed_supervisor_takes_the_server_with_it(tmp_path: Path) -> None:
    process, server = supervise(tmp_path, "sleep", "60")
    process.kill()
    process.wait(timeout=PATIENCE_S)
    assert until(lambda: not Path(f"/proc/{server}").exists() or _is_zombie(server))
    assert process.stdin is not None
    process.stdin.close()


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    process, server = supervise(tmp_path, "/nothing/tritonserver")
    assert process.wait(timeout=PATIENCE_S) == 1
    assert server == 0
    assert process.stdin is not None
    process.stdin.close()
