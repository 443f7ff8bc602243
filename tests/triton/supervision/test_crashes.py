"""Servers that crash, hang or cannot start again, played by a script under the real supervisor."""

from __future__ import annotations

import os
import signal
import socket
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from patience import PATIENCE_S, until
from prometheus_text import samples
from scripted_server import QUICK, Start

from resnet_serve.triton.supervision import servable, status
from resnet_serve.triton.supervision.endpoints import claim_ports
from resnet_serve.triton.supervision.orders import Policy, refused
from resnet_serve.triton.supervision.status import Status


def test_a_crash_loop_is_given_up_with_its_reason(supervise: Start) -> None:
    supervised = supervise("crash")
    assert supervised.process.wait(PATIENCE_S) == 128 + signal.SIGABRT
    assert len(supervised.starts) == 3
    last = supervised.status
    assert (last.state, last.restarts, last.server_pid) == (status.GAVE_UP, 2, 0)
    assert "3 crashes in a row" in last.reason
    assert "ended by signal 6 (SIGABRT) at 20" in last.reason
    assert supervised.log.count("ended by signal 6") == 3
    assert "restart 2 in 0.1 s" in supervised.log
    assert "ready again after" in supervised.log
    assert supervised.process.stdout is not None
    told = supervised.process.stdout.read().decode().splitlines()
    assert told[0] == str(supervised.starts[0])
    assert told[-1] == f"{status.GIVING_UP}{last.reason}"


def test_a_server_that_cannot_start_again_is_given_up_and_the_port_named(supervise: Start) -> None:
    supervised = supervise("once")
    assert supervised.becomes(status.SERVING)
    os.kill(supervised.starts[0], signal.SIGKILL)
    assert supervised.process.wait(PATIENCE_S) == 3
    assert len(supervised.starts) == 3
    assert "before it was ready: " in supervised.status.reason
    assert "'127.0.0.1:1' already in use" in supervised.status.reason


def test_a_server_that_hangs_in_its_handler_of_a_crash_is_killed(supervise: Start) -> None:
    supervised = supervise("handler", replace(QUICK, handler_s=0.1))
    assert supervised.becomes(status.SERVING, 1)
    said = "crashed by signal 6 (SIGABRT) and did not end"
    assert supervised.status.last.startswith(f"{said} at 20")
    assert f"{said}: the server is restarted" in supervised.log


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("stay", signal.SIGTERM),
        ("stay", signal.SIGINT),
        ("stay", None),
        ("SIGSEGV", signal.SIGINT),
        ("SIGSEGV", None),
    ],
)
def test_it_stops_at_once_while_it_waits(
    supervise: Start, word: str, number: signal.Signals | None
) -> None:
    supervised = supervise(word, Policy(first_delay_s=3600, longest_delay_s=3600))
    if word == "stay":
        assert supervised.becomes(status.SERVING)
        os.kill(supervised.starts[0], signal.SIGSEGV)
    assert supervised.becomes(status.RESTARTING, 1)
    if number is None:
        supervised.end()
    else:
        supervised.process.send_signal(number)
    assert supervised.process.wait(PATIENCE_S) == 128 + signal.SIGSEGV
    assert supervised.status.state == status.STOPPED
    assert len(supervised.starts) == 1
    assert not (supervised.folder / "scratch").exists()


def test_a_restart_loads_nothing_of_a_change_that_was_killed(
    supervise: Start, tmp_path: Path
) -> None:
    """A version was beside the served one when the server and the command were killed."""
    supervised = supervise("stay")
    assert supervised.becomes(status.SERVING)
    version = tmp_path / "models/net/2"
    version.mkdir(parents=True)
    (version / "model.onnx").write_text("kept")
    beside = servable.beside(tmp_path / "scratch")
    (beside / "net.beside-2").mkdir(parents=True)
    (beside / "net.beside-2/2").symlink_to(version)
    (beside / "net.beside-2/labels.txt").write_text("a")
    (beside / "link.beside-2").symlink_to(version)
    (beside / "somebody's").mkdir()
    os.kill(supervised.starts[0], signal.SIGKILL)
    assert until(lambda: len(supervised.starts) == 2)
    assert [each.name for each in beside.iterdir()] == ["somebody's"], (
        "nothing of others is removed"
    )
    assert (version / "model.onnx").read_text() == "kept"
    supervised.end()


def test_a_deliberate_stop_is_no_crash(supervise: Start) -> None:
    supervised = supervise("stay")
    assert supervised.becomes(status.SERVING)
    time.sleep(0.3)  # a few checks
    assert supervised.end() == 128 + signal.SIGTERM
    assert supervised.status == Status(status.STOPPED)


def test_the_status_says_at_once_that_the_server_has_ended(supervise: Start) -> None:
    """Also while what it left is still waited for: here a process of another session."""
    supervised = supervise("children")
    assert supervised.becomes(status.SERVING)
    assert supervised.status.server_pid == supervised.starts[0]
    os.kill(supervised.starts[0], signal.SIGKILL)
    assert until(lambda: not supervised.status.server_pid)
    said = supervised.status
    assert (said.state, said.restarts, len(supervised.starts)) == (status.RESTARTING, 0, 1)
    assert supervised.becomes(status.SERVING, 1)
    assert supervised.status.server_pid == supervised.starts[1]
    supervised.end()


def test_a_server_that_never_was_ready_has_no_process_either(supervise: Start) -> None:
    supervised = supervise("once")
    assert supervised.becomes(status.SERVING)
    supervised.end()
    again = supervise("once")
    assert again.process.wait(PATIENCE_S) == 3
    assert (again.status.state, again.status.server_pid) == (status.STOPPED, 0)
    assert again.status.last.startswith("ended with status 3 at 20")


def test_a_server_that_is_ready_but_fails_its_health_check_is_restarted(supervise: Start) -> None:
    supervised = supervise("ill")
    assert supervised.becomes(status.GAVE_UP, 2)
    assert supervised.process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert "the health check of the server failed (no list of models: overheated)" in (
        supervised.status.reason
    )
    assert supervised.status.check_failures == 6


def test_a_model_that_refuses_every_check_is_said_once_and_left_as_it_is(
    supervise: Start, tmp_path: Path
) -> None:
    """A check of strings, or of a batch that is too small for it, says nothing of the model."""
    supervised = supervise("refuses", replace(QUICK, check_s=0.05))
    assert supervised.becomes(status.SERVING)
    asked = tmp_path / "asked"
    assert until(lambda: asked.exists() and len(asked.read_text().splitlines()) > 4)
    said = supervised.status
    assert (said.state, said.restarts, said.check_failures) == (status.SERVING, 0, 1)
    assert supervised.log.count("the health check of net failed (overheated)") == 1
    supervised.end()


def test_a_model_that_answered_a_check_and_fails_two_is_restarted(supervise: Start) -> None:
    supervised = supervise("sickens")
    assert until(lambda: supervised.status.restarts > 0)
    assert supervised.status.last.startswith("the health check of net failed (overheated) at 20")
    supervised.end()


def test_a_stopped_server_fails_its_health_check(supervise: Start) -> None:
    """SIGSTOP: it accepts connections, is alive, and answers nobody."""
    supervised = supervise("stay", Policy(check_s=0.1, check_timeout_s=1))
    assert supervised.becomes(status.SERVING)
    os.kill(supervised.starts[0], signal.SIGSTOP)
    assert supervised.becomes(status.SERVING, 1)
    assert len(supervised.starts) == 2
    supervised.end()


def test_metrics_are_served_while_the_server_is_restarted(supervise: Start) -> None:
    _, (port, _, _) = claim_ports("127.0.0.1", 0)
    supervised = supervise("stay", Policy(first_delay_s=3600, longest_delay_s=3600), port)
    assert supervised.becomes(status.SERVING)
    os.kill(supervised.starts[0], signal.SIGSEGV)
    assert supervised.becomes(status.RESTARTING, 1)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as found:
        values = samples(found.read().decode())
    assert values["resnet_serve_up"] == 0
    assert values["resnet_serve_restarts_total"] == 1
    supervised.end()


def test_a_taken_port_of_the_metrics_is_said(supervise: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        supervised = supervise("stay", QUICK, port)
        assert supervised.process.wait(PATIENCE_S) == 1
    assert supervised.process.stdout is not None
    said = supervised.process.stdout.read().decode()
    error = refused(said, "stay")
    assert error.what == f"port {port} of the metrics: address already in use"
    assert error.remedy == "Give --status-port a free port, or 0 for none."
