"""Other servers of the same network, each at its own best, measured beside ours in one run.

    python benchmarks/serving_peers.py

One INT8 ResNet-50, as one ONNX file, behind PyTriton, LitServe, BentoML, MLServer, Ray Serve and
TorchServe, each in a virtual environment that this script makes in the user's cache, and behind
ours. Every peer's runtime, workers, threads and batching are searched with the same small budget;
ours is served as it was converted. Then all take turns in rounds: a uint8 tensor, and a JPEG of
about 80 kB to its five best classes, with 1, 4 and 16 requests in flight. CPU time and memory are
those of all processes of a server; the client is the same, and its cost is stated. What is measured
is kept: after `--minutes`, run it again to go on. The network is untrained: speed only.
docs/peers.md is written from the results.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from peers import environments, page, results, search
from peers.kept import Kept
from peers.measured import BrokenPeerError, levels
from peers.peer import WORKLOADS
from peers.search import Entry
from peers.served_model import ServedModel
from peers.servers import PEERS
from recorded import RESULTS, record

from resnet_serve.errors import HostError

IN_FLIGHT = (1, 4, 16)
tell = partial(print, flush=True)


class Clock:
    """The minutes of this call."""

    def __init__(self, minutes: float) -> None:
        self._until = time.monotonic() + 60 * minutes

    def ended(self, next_s: float) -> bool:
        """Whether what takes so many seconds would end too late."""
        return time.monotonic() + next_s > self._until


def install(names: list[str], kept: Kept) -> list[str]:
    """Make the environments; the peers that have one. A failure is kept with its reason."""
    found = []
    for name in names:
        try:
            took = environments.make(PEERS[name])
        except HostError as error:
            tell(str(error))
            kept.add("failed", [{"peer": name, "failed": str(error)}])
            continue
        found.append(name)
        if took > 1:
            tell(f"{PEERS[name].title} installed in {took:.0f} s")
    return found


def searched(names: list[str], model: ServedModel, kept: Kept, clock: Clock) -> bool:
    """Try every candidate of every peer; False where the time ended before."""
    for name in names:
        for configuration in search.missing(PEERS[name], kept):
            if clock.ended(25):
                return False
            search.try_one(PEERS[name], configuration, model, kept, tell)
    return True


def turns(names: list[str], kept: Kept, rounds: int) -> Iterator[tuple[int, Entry]]:
    """What is left to measure, round by round; every round starts with another peer."""
    entries = [entry for name in names for entry in search.entries(PEERS[name], kept)]
    for number in range(1, rounds + 1):
        start = number % len(entries)
        for entry in entries[start:] + entries[:start]:
            wanted = {"peer": entry.peer.name, "configuration": str(entry.configuration)}
            if not kept.rows("round", round=number, **wanted):
                yield number, entry


def measure(model: ServedModel, kept: Kept, options: argparse.Namespace, clock: Clock) -> bool:
    """Measure the rounds that are missing; False where the time ended before."""
    seconds_each = len(WORKLOADS) * len(IN_FLIGHT) * (options.seconds + 1) + 15
    for number, entry in turns(options.peers, kept, options.rounds):
        if clock.ended(seconds_each):
            return False
        which = {"round": number, "best_at": " and ".join(map(str, entry.best_at))}
        try:
            found = levels(
                entry.peer, entry.configuration, model, WORKLOADS, IN_FLIGHT, options.seconds
            )
            rows = [{**which, **level.to_json()} for level in found]
        except (BrokenPeerError, RuntimeError, OSError) as error:
            tell(f"round {number}: {entry.peer.title}: {error}")
            named = {"peer": entry.peer.name, "configuration": str(entry.configuration)}
            kept.add("failed", [{**which, **named, "failed": str(error)}])
            continue
        kept.add("round", list(rows))
        rates = ", ".join(str(row["images_per_s"]) for row in rows)
        tell(f"round {number}: {entry.peer.title}, {entry.configuration}: {rates} images/s")
    return True


def write(kept: Kept) -> None:
    """The results, the plot and the page."""
    rows = results.table(kept)
    summary = results.summary(kept)
    pictures = {workload: results.plot(summary, workload) for workload in WORKLOADS}
    record("serving-peers", rows, summary, pictures)
    page.write(RESULTS)


def main() -> None:
    """Install, search, measure, write; or go on with what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4, help="of each load, in each round")
    parser.add_argument("--minutes", type=float, default=120, help="stop then, and go on next time")
    parser.add_argument("--folder", type=Path, default=environments.folder() / "run")
    parser.add_argument("--install", action="store_true", help="make the environments, no more")
    parser.add_argument("--write", action="store_true", help="write what was measured, no more")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers are ended then too
    kept, clock = Kept(options.folder / "rows.jsonl"), Clock(options.minutes)
    if not options.write:
        options.peers = install(options.peers, kept)
        if options.install:
            return
        model = ServedModel.prepare(options.folder)
        if not (
            searched(options.peers, model, kept, clock) and measure(model, kept, options, clock)
        ):
            tell(f"{options.minutes:g} minutes are over: run it again to go on")
            return
    write(kept)


if __name__ == "__main__":
    main()
