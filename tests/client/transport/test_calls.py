"""Calls that end for their caller at the deadline, and go on until the server has responded."""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from patience import PATIENCE_S, until

from resnet_client.transport.calls import Calls, GivenUpError, cancels_safely
from resnet_client.transport.deadlines import Deadline


def soon() -> Deadline:
    return Deadline.after(0.05)


def patient() -> Deadline:
    return Deadline.after(PATIENCE_S)


def test_results_and_errors_are_the_calls_own() -> None:
    calls = Calls()
    assert calls.run(lambda timeout_s: timeout_s > PATIENCE_S, patient()) is True
    with pytest.raises(LookupError, match="mine"):
        calls.run(lambda _: {}["mine"], patient())
    assert calls.drain(PATIENCE_S)
    calls.close()


def test_the_caller_leaves_and_the_call_goes_on() -> None:
    calls, respond, ended = Calls(), threading.Event(), threading.Event()

    def call(timeout_s: float) -> None:
        assert timeout_s > 60
        respond.wait(PATIENCE_S)
        ended.set()

    with pytest.raises(GivenUpError, match="no response"):
        calls.run(call, soon())
    assert not calls.drain(0.05)
    respond.set()
    assert calls.drain(PATIENCE_S)
    assert ended.is_set()
    calls.close()


def test_threads_are_used_again_and_end() -> None:
    calls = Calls()
    threads = {calls.run(lambda _: threading.current_thread(), patient()) for _ in range(20)}
    assert len(threads) == 1
    calls.close()
    assert until(lambda: not any(thread.is_alive() for thread in threads))


def test_what_a_call_needs_is_held_until_it_has_ended() -> None:
    calls, respond, events = Calls(), threading.Event(), []

    class Needed:
        def hold(self) -> None:
            events.append("hold")

        def release(self) -> None:
            events.append("release")

    with pytest.raises(GivenUpError, match="no response"):
        calls.run(lambda _: respond.wait(PATIENCE_S), soon(), Needed())
    assert events == ["hold"]
    respond.set()
    assert calls.drain(PATIENCE_S)
    with pytest.raises(LookupError):
        calls.run(lambda _: {}["mine"], patient(), Needed())
    assert events == ["hold", "release"] * 2
    calls.close()


def test_results_at_the_deadline_are_given_or_given_up_but_never_mixed() -> None:
    """Deadlines that pass about when the calls end, in many threads."""
    calls = Calls()

    def ask(number: int) -> bool:
        try:
            return bool(
                calls.run(lambda _: (time.sleep(0.002), number)[1], Deadline.after(0.002)) == number
            )
        except GivenUpError:
            return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(400)))
    assert calls.drain(PATIENCE_S)
    # None of them is still counted: as many as allowed can be given up again.
    respond = threading.Event()
    for _ in range(64):
        with pytest.raises(GivenUpError, match="no response"):
            calls.run(lambda _: respond.wait(PATIENCE_S), Deadline.after(0))
    respond.set()
    assert calls.drain(PATIENCE_S)
    calls.close()


def test_an_error_is_not_kept() -> None:
    calls = Calls()

    class MineError(Exception):
        pass

    def fail(_: float) -> None:
        raise MineError

    with pytest.raises(MineError) as caught:
        calls.run(fail, patient())
    gone = weakref.ref(caught.value)
    del caught
    assert until(lambda: gone() is None)
    calls.close()


def test_many_at_once_each_get_their_own() -> None:
    calls, meeting = Calls(), threading.Barrier(16)

    def ask(number: int) -> int:
        return int(calls.run(lambda _: (meeting.wait(PATIENCE_S), number)[1], patient()))

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(16))) == list(range(16))
    calls.close()


def test_no_more_than_sixty_four_are_given_up() -> None:
    calls, respond = Calls(), threading.Event()
    for _ in range(64):
        with pytest.raises(GivenUpError, match="no response"):
            calls.run(lambda _: respond.wait(PATIENCE_S), Deadline.after(0))
    with pytest.raises(GivenUpError, match="64 earlier requests are still without response"):
        calls.run(lambda _: None, soon())
    respond.set()
    assert calls.run(lambda _: "now", patient()) == "now"
    calls.close()


@pytest.mark.parametrize(
    ("version", "safely"),
    [("2.51.0", False), ("2.56.1", False), ("2.57.0", True), ("3.0", True), ("", False)],
)
def test_which_servers_survive_a_cancelled_call(version: str, safely: bool) -> None:
    assert cancels_safely(version) is safely
