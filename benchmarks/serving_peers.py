"""Other servers of the same network, each at its own best, measured beside ours in one run.

    python benchmarks/serving_peers.py

One INT8 ResNet-50, as one ONNX file, behind PyTriton, LitServe, BentoML, MLServer, Ray Serve and
TorchServe, each in a virtual environment that this script makes in the user's cache, and behind
ours, over gRPC and over HTTP. Every peer's runtime, workers, threads and batching are searched with
the same small budget; ours is served as it was converted. Then all run at once and take turns of a
second, paused but for their own: a uint8 tensor, and a JPEG of about 80 kB to its five best
classes, with 1, 4 and 16 requests in flight. CPU time and memory are those of all processes of a
server; the client is the same, and its cost is stated. What is measured is kept: after `--minutes`,
run it again to go on. The network is untrained: speed only. docs/peers.md is written from the
results.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from functools import partial
from pathlib import Path

from peers import environments, page, results, rounds, search
from peers.kept import Kept
from peers.measured import BrokenPeerError
from peers.peer import WORKLOADS
from peers.served_model import ServedModel
from peers.servers import PEERS
from recorded import RESULTS, record

from resnet_serve.errors import HostError

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


def measure(model: ServedModel, kept: Kept, options: argparse.Namespace, clock: Clock) -> bool:
    """Measure the turns that are missing; False where the time ended before."""
    entries = [entry for name in options.peers for entry in search.entries(PEERS[name], kept)]
    broken: set[search.Entry] = set()
    said = 0
    with rounds.Servers(model) as servers:
        for turn in rounds.turns(entries, kept, options.rounds):
            if turn.entry in broken:
                continue
            if clock.ended(options.seconds + 3):
                return False
            if turn.number > said:
                tell(f"round {turn.number} of {options.rounds}")
                said = turn.number
            best_at = " and ".join(map(str, turn.entry.best_at))
            try:
                found = servers.measured(turn, options.seconds)
            except (BrokenPeerError, RuntimeError, OSError) as error:
                tell(f"{turn.entry.peer.title}, {turn.entry.configuration}: {error}")
                kept.add("failed", [{**turn.key, "failed": str(error)}])
                broken.add(turn.entry)
                continue
            kept.add("round", [{"round": turn.number, "best_at": best_at, **found.to_json()}])
    return True


def write(kept: Kept) -> None:
    """The results, the plot and the page."""
    rows = results.table(kept)
    summary = results.summary(kept)
    if not summary["best"]:
        tell("no load was counted, as other tasks used the cores: nothing is written")
        return
    pictures = {workload: results.plot(summary, workload) for workload in WORKLOADS}
    record("serving-peers", rows, summary, pictures)
    page.write(RESULTS)


def main() -> None:
    """Install, search, measure, write; or go on with what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn")
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
