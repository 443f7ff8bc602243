"""The rounds: all servers run at once, and take turns of a second in every load.

A host that serves others too changes its speed within seconds, by half and more. So a turn is
short, all servers have theirs of a load after each other, and those whose turn it is not are
paused: none takes anything from another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

from peers.kept import Kept
from peers.measured import Level, Ready, started
from peers.peer import WORKLOADS
from peers.search import Entry
from peers.served_model import ServedModel

IN_FLIGHT = (1, 4, 16)
_KEY = ("round", "peer", "configuration", "workload", "in_flight")


@dataclass(frozen=True)
class Turn:
    """One load of one server in one round."""

    number: int
    workload: str
    in_flight: int
    entry: Entry

    @property
    def key(self) -> dict[str, Any]:
        """What tells its row from others."""
        return {
            "round": self.number,
            "peer": self.entry.peer.name,
            "configuration": str(self.entry.configuration),
            "workload": self.workload,
            "in_flight": self.in_flight,
        }


def turns(entries: Sequence[Entry], kept: Kept, rounds: int) -> Iterator[Turn]:
    """What is left to measure; every round starts with another server."""
    # Read once: the file grows, and nothing should run between turns.
    done = {tuple(row.get(key) for key in _KEY) for row in kept.rows("round")}
    for number in range(1, rounds + 1):
        start = number % max(1, len(entries))
        for workload, in_flight in product(WORKLOADS, IN_FLIGHT):
            for entry in (*entries[start:], *entries[:start]):
                turn = Turn(number, workload, in_flight, entry)
                if tuple(turn.key[key] for key in _KEY) not in done:
                    yield turn


class Servers:
    """The servers: each is started for its first turn, and paused but for its turns."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model
        self._stack = ExitStack()
        self._ready: dict[Entry, Ready] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measured(self, turn: Turn, seconds: float) -> Level:
        """One turn; raises `BrokenPeerError`, `RuntimeError` or `OSError`."""
        ready = self._resumed(turn.entry)
        try:
            return ready.measured(turn.workload, turn.in_flight, seconds)
        finally:
            ready.server.pause()

    def _resumed(self, entry: Entry) -> Ready:
        if entry in self._ready:
            self._ready[entry].server.resume()
        else:
            one = started(entry.peer, entry.configuration, self._model, WORKLOADS)
            self._ready[entry] = self._stack.enter_context(one)
        return self._ready[entry]
