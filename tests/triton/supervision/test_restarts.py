"""When a server is restarted: delays, and the end of it."""

from __future__ import annotations

import signal

import pytest

from resnet_serve.triton.supervision.orders import Policy
from resnet_serve.triton.supervision.restarts import Restarts

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
    ("status", "final"),
    [
        (0, True),
        (1, True),
        (255, True),  # no signal has this number
        (128 + signal.SIGTERM, True),
        (128 + signal.SIGINT, True),
        (128 + signal.SIGABRT, False),
        (128 + signal.SIGSEGV, False),
        (128 + signal.SIGKILL, False),
    ],
)
def test_a_first_start_is_repeated_where_a_signal_ended_it(status: int, final: bool) -> None:
    restarts = Restarts(POLICY)
    assert restarts.none_after(status, "", ended_by_us=False) is final
    assert restarts.none_after(status, "", ended_by_us=True)
    restarts.after(None)
    assert restarts.none_after(status, "", ended_by_us=False), "once"
    restarts.served = True
    assert not restarts.none_after(status, "", ended_by_us=False), (
        "it was ready: no matter how it ends"
    )
    assert Restarts(Policy(most_quick=1)).none_after(status, "", ended_by_us=False)
