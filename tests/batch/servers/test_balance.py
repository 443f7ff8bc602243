"""Balance over endpoints that are only clocks and counters: which is next, which is left out."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from resnet_serve.batch.servers.balance import FIRST_PAUSE_S, LONGEST_PAUSE_S, Balance
from resnet_serve.errors import ServerError, UnavailableError


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


def balance(names: str, clock: Clock, said: list[str], patience_s: float = 60) -> Balance[str]:
    """Endpoints of one letter each, whose clients are their names."""
    clients = [(name, name) for name in names]
    return Balance(clients, patience_s=patience_s, say=said.append, clock=clock)


def test_requests_go_round_where_nothing_is_pending() -> None:
    made = balance("abc", Clock(), [])
    used = [made.send(str, UnavailableError) for _ in range(9)]
    assert Counter(used) == {"a": 3, "b": 3, "c": 3}


def test_the_endpoint_with_the_fewest_pending_is_next() -> None:
    made = balance("ab", Clock(), [])
    release = threading.Event()
    slow: list[str] = []

    def held(client: str) -> str:
        """A request that does not end yet."""
        slow.append(client)
        release.wait(30)
        return client

    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(made.send, held, UnavailableError)
        while not slow:
            pass
        others = [made.send(str, UnavailableError) for _ in range(5)]
        release.set()
        assert pending.result(30) == slow[0]
    assert set(others) == {"a", "b"} - {slow[0]}


def test_one_that_fails_is_left_out_and_tried_again() -> None:
    clock, said = Clock(), list[str]()
    made = balance("ab", clock, said)
    down = {"a"}

    def request(client: str) -> str:
        """Fails where the endpoint is down."""
        if client in down:
            raise UnavailableError("no server answers")
        return client

    assert [made.send(request, UnavailableError) for _ in range(6)] == ["b"] * 6
    assert said == ["a is left out for now: no server answers"]
    assert [each.failed for each in made.endpoints] == [1, 0]

    clock.now_s += FIRST_PAUSE_S + 0.01
    assert [made.send(request, UnavailableError) for _ in range(6)] == ["b"] * 6
    assert made.endpoints[0].failed == 2
    clock.now_s += FIRST_PAUSE_S + 0.01  # the second pause is twice as long
    made.send(request, UnavailableError)
    assert made.endpoints[0].failed == 2

    down.clear()
    clock.now_s += 2 * FIRST_PAUSE_S
    assert {made.send(request, UnavailableError) for _ in range(6)} == {"a", "b"}
    assert said[1:] == ["a is used again"]


def test_the_pause_has_a_longest() -> None:
    clock = Clock()
    made = balance("ab", clock, [])

    def request(client: str) -> str:
        """Of one endpoint alone."""
        if client == "a":
            raise UnavailableError("down")
        return client

    for _ in range(200):
        clock.now_s += 1
        made.send(request, UnavailableError)
    assert made.endpoints[0].pause_s == LONGEST_PAUSE_S
    assert made.endpoints[0].failed < 25


def test_patience_ends_where_none_answers() -> None:
    clock = Clock()
    made = balance("ab", clock, [], patience_s=30)
    sent = Counter[str]()

    def request(client: str) -> str:
        """None answers, and time passes."""
        sent[client] += 1
        clock.now_s += 4
        raise UnavailableError(f"{client} is down")

    with pytest.raises(UnavailableError, match="is down"):
        made.send(request, UnavailableError)
    assert set(sent) == {"a", "b"}
    assert 30 < clock.now_s - 100 < 60


def test_other_errors_are_the_callers() -> None:
    made = balance("ab", Clock(), [])

    def request(client: str) -> str:
        """A refusal."""
        raise ServerError(f"{client} refuses")

    with pytest.raises(ServerError):
        made.send(request, UnavailableError)
    assert [each.pending for each in made.endpoints] == [0, 0]
    assert [each.failed for each in made.endpoints] == [0, 0]
