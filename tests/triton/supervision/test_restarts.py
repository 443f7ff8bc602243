"""When a server is restarted: delays, and the end of it."""

from __future__ import annotations

import signal

import pytest

from resnet_serve.triton.supervision.orders import Policy
from resnet_serve.triton.supervision.restarts import Restarts, crashed

POLICY = Policy(first_delay_s=0.5, longest_delay_s=3, quick_s=10, most_quick=6)


def test_the_delay_doubles_up_to_the_longest_and_then_it_gives_up() -> None:
    restarts = Restarts(POLICY)
    assert [restarts.after(None) for _ in range(6)] == [0.5, 1, 2, 3, 3, None]
    assert restarts.count == 5


def test_a_server_that_served_for_a_while_starts_the_count_again() -> None:
    restarts = Restarts(POLICY)
    assert [restarts.after(each) for each in (1, 9.9, 10, None, 3600)] == [0.5, 1, 0.5, 1, 0.5]
    assert restarts.count == 5


def test_crashes_now_and_then_are_restarted_for_ever() -> None:
    restarts = Restarts(POLICY)
    assert {restarts.after(16) for _ in range(1000)} == {0.5}


def test_one_crash_may_be_too_many() -> None:
    assert Restarts(Policy(most_quick=1)).after(3600) is None


@pytest.mark.parametrize(
    ("status", "crash"),
    [
        (0, False),
        (1, False),
        (255, False),  # no signal has this number
        (128 + signal.SIGTERM, False),
        (128 + signal.SIGINT, False),
        (128 + signal.SIGABRT, True),
        (128 + signal.SIGSEGV, True),
        (128 + signal.SIGKILL, True),
    ],
)
def test_a_signal_is_a_crash_unless_it_is_to_end_the_server(status: int, crash: bool) -> None:
    assert crashed(status, "") is crash


def test_a_first_start_that_crashed_is_repeated_once() -> None:
    restarts = Restarts(POLICY)
    assert restarts.none_after(crashed=False)
    assert not restarts.none_after(crashed=True)
    restarts.after(None)
    assert restarts.none_after(crashed=True)
    assert Restarts(Policy(most_quick=1)).none_after(crashed=True)


def test_a_server_that_was_ready_is_started_again_however_it_ended() -> None:
    restarts = Restarts(POLICY, served=True)
    assert not restarts.none_after(crashed=False)
