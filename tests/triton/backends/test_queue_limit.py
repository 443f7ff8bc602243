"""The bound that a backend keeps itself: which requests are rejected, and when it asks."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from resnet_serve.triton.backends.contract import ContractError
from resnet_serve.triton.backends.pending import Counts, Pending
from resnet_serve.triton.backends.queue_limit import MAX_QUEUE, QueueLimit, max_queue


class Waiting(Pending):
    """Metrics that say these counts, one after another."""

    def __init__(self, counts: Iterable[int | None]) -> None:
        super().__init__("")
        self.left = list(counts)

    def counts(self, max_age_s: float = 0.0) -> Counts | None:
        count = self.left.pop(0)
        return None if count is None else {("net", "1"): count, ("other", "1"): 1000}


class Backend:
    """A backend that is handed requests: each run takes `run_s`, the next begins after `gap_s`."""

    def __init__(self, limit: int, *counts: int | None, instances: int = 1) -> None:
        self.now, self.waiting = 0.0, Waiting(counts)
        self.queue = QueueLimit(
            limit,
            "net",
            "1",
            instances=instances,
            pending=self.waiting,
            clock=lambda: self.now,
        )

    def rejects(self, requests: int, *, run_s: float = 0.05, gap_s: float = 0.0) -> int:
        self.now += gap_s
        found = self.queue.excess(requests)
        self.now += run_s if found < requests else 0.001
        self.queue.done()
        return found


def test_the_oldest_are_rejected_where_more_wait_than_it_holds() -> None:
    backend = Backend(4, 4, 6, 30)
    assert backend.rejects(8) == 0, "it was idle"
    assert [backend.rejects(8) for _ in range(3)] == [0, 2, 8]


def test_what_is_rejected_at_once_counts_from_the_last_answer() -> None:
    backend = Backend(4, 20)
    backend.rejects(1)
    # 20 wait behind these 8, then 12, then 4: it need not ask again within 20 ms.
    assert [backend.rejects(8) for _ in range(3)] == [8, 8, 0]
    assert backend.waiting.left == []


def test_a_backend_that_was_idle_does_not_ask() -> None:
    backend = Backend(1)
    assert [backend.rejects(8, gap_s=0.03) for _ in range(3)] == [0, 0, 0]


def test_what_comes_until_it_asks_again_is_not_guessed() -> None:
    """It rejects what is known to wait behind these, and may be wrong only by rejecting too few."""
    backend = Backend(24, 26, 40)
    backend.rejects(8)
    assert backend.rejects(8) == 2
    assert [backend.rejects(8, run_s=0.02) for _ in range(3)] == [8, 8, 0]
    assert backend.waiting.left == []


def test_it_asks_seldom_while_little_waits() -> None:
    """A quarter of the bound or less: again after 0.2 s, four runs of 60 ms later."""
    backend = Backend(64, 16, 17, 70)
    backend.rejects(8)
    assert [backend.rejects(8, run_s=0.06) for _ in range(4)] == [0] * 4
    assert backend.waiting.left == [17, 70]
    assert [backend.rejects(8, run_s=0.06) for _ in range(2)] == [0, 6], "more of it: every 20 ms"
    assert backend.waiting.left == []


def test_it_asks_again_where_as_many_as_it_holds_were_handed_over() -> None:
    """As little as a small bound holds comes at any time."""
    backend = Backend(2, 0, 9)
    backend.rejects(1)
    assert [backend.rejects(1, run_s=0.015) for _ in range(4)] == [0, 0, 1, 1]
    assert backend.waiting.left == []


def test_without_a_bound_or_an_answer_all_run() -> None:
    unbounded = Backend(0)
    assert [unbounded.rejects(8) for _ in range(3)] == [0, 0, 0]
    unknown = Backend(1, None, None)
    assert [unknown.rejects(8) for _ in range(3)] == [0, 0, 0]


def test_instances_share_what_is_too_much() -> None:
    backend = Backend(4, 9, 9, instances=2)
    backend.rejects(8)
    assert [backend.rejects(8) for _ in range(2)] == [3, 3]


@pytest.mark.parametrize(("given", "limit"), [({}, 0), ({"string_value": "7"}, 7)])
def test_the_parameter_of_a_configuration(given: dict[str, str], limit: int) -> None:
    assert max_queue({"name": "net", "parameters": {MAX_QUEUE: given} if given else {}}) == limit
    assert max_queue({"name": "net"}) == 0


@pytest.mark.parametrize("text", ["", "-1", "4.5", "²", "many", "9" * 10])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ContractError, match=f"model 'net': expected the parameter '{MAX_QUEUE}'"):
        max_queue({"name": "net", "parameters": {MAX_QUEUE: {"string_value": text}}})
