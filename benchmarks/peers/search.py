"""The best configuration of a peer: the same candidates, loads and seconds for each.

Every candidate serves the tensor workload with 1 and with 16 requests in flight. In the rounds the
best with one and the best with sixteen are measured, and every other that came near one of them: a
few seconds do not tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from peers.kept import Kept
from peers.measured import BrokenPeerError, started
from peers.peer import TENSOR, Configuration, Peer
from peers.served_model import ServedModel
from resnet_serve import host

ALONE, BUSY = 1, 16
SECONDS = 2.5
NEAR = 0.9  # of the best rate
DISTURBED = 0.1  # of the cores, used by other tasks of the host: such a load is not counted


@dataclass(frozen=True)
class Entry:
    """A peer with a configuration, and the requests in flight at which it may be best."""

    peer: Peer
    configuration: Configuration
    best_at: tuple[int, ...]


def candidates(peer: Peer) -> tuple[Configuration, ...]:
    """The configurations of a peer on this host."""
    return peer.space(host.cores())


def missing(peer: Peer, kept: Kept) -> list[Configuration]:
    """The candidates that have not been tried undisturbed. A single one needs no search."""
    rows = kept.rows("search", peer=peer.name)
    tried = {row["configuration"] for row in rows if "failed" in row or not disturbed(row)}
    found = candidates(peer)
    return [each for each in found if str(each) not in tried] if len(found) > 1 else []


def disturbed(row: Mapping[str, Any]) -> bool:
    """Whether other tasks of the host used so much of the cores that a load is not counted."""
    return float(row["others"]) > DISTURBED


def try_one(
    peer: Peer,
    configuration: Configuration,
    model: ServedModel,
    kept: Kept,
    tell: Callable[[str], None],
) -> None:
    """Measure a candidate and keep it; one that fails is kept with its reason."""
    try:
        with started(peer, configuration, model, [TENSOR]) as ready:
            found = [ready.measured(TENSOR, in_flight, SECONDS) for in_flight in (ALONE, BUSY)]
        rows = [level.to_json() for level in found]
    except (BrokenPeerError, RuntimeError, OSError) as error:
        tell(f"{peer.title}, {configuration}: {error}")
        failed = {"peer": peer.name, "configuration": str(configuration), "failed": str(error)}
        kept.add("search", [failed])
        return
    for row in rows:
        tell(
            f"{peer.title}, {configuration}: {row['images_per_s']} images/s, "
            f"{row['in_flight']} in flight"
        )
    kept.add("search", list(rows))


def entries(peer: Peer, kept: Kept) -> list[Entry]:
    """What is measured of a peer: nothing where no candidate works."""
    found = candidates(peer)
    if len(found) == 1:
        return [Entry(peer, found[0], (ALONE, BUSY))]
    rows = kept.rows("search", peer=peer.name)
    rows = [row for row in rows if "failed" not in row and not disturbed(row)]
    best: dict[str, list[int]] = {}
    for in_flight in (ALONE, BUSY):
        rates = {
            row["configuration"]: row["images_per_s"]
            for row in rows
            if row["in_flight"] == in_flight
        }
        if rates:
            for name in (name for name in rates if rates[name] >= NEAR * max(rates.values())):
                best.setdefault(name, []).append(in_flight)
    named = {str(each): each for each in found}
    return [Entry(peer, named[name], tuple(levels_)) for name, levels_ in best.items()]
