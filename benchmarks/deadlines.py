"""Deadlines that expire as the response is sent: how often Triton crashes, how soon it is back.

    python benchmarks/deadlines.py REPOSITORY MODEL --seconds 60

Clients send requests with gRPC deadlines around the median latency, which crashes Triton 2.51
(triton server #7368). The supervisor restarts it; all answers are counted by what became of them.
Results go to benchmarks/results/ with the date and the hardware.
"""

from __future__ import annotations

import argparse
import collections
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from recorded import record
from tritonclient.utils import InferenceServerException

from resnet_serve import Server

CLIENTS = 8
PATIENCE_S = 60.0


class Sender:
    """Sends one request, always the same, over a channel of its own."""

    def __init__(self, url: str, model: str) -> None:
        self._client = triton.InferenceServerClient(url)
        self._model = model
        config = self._client.get_model_config(model, client_timeout=PATIENCE_S).config
        (only,) = config.input
        shape = [1, *only.dims]
        self._input = triton.InferInput(only.name, shape, "UINT8")
        self._input.set_data_from_numpy(np.zeros(shape, np.uint8))

    def send(self, deadline_s: float) -> str:
        """What became of a request with this deadline."""
        try:
            self._client.infer(self._model, [self._input], client_timeout=deadline_s)
        except InferenceServerException as error:
            return str(error.status() or "unknown").removeprefix("StatusCode.")
        return "OK"


def median_s(sender: Sender) -> float:
    """The median latency of one client."""
    taken = []
    for _ in range(50):
        started = time.perf_counter()
        sender.send(PATIENCE_S)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def attack(server: Server, model: str, seconds: float, seed: int) -> collections.Counter[str]:
    """Send for so long with deadlines from half to twice the latency; counts by outcome."""
    latency_s = median_s(Sender(server.grpc, model))
    until = time.monotonic() + seconds

    def run(number: int) -> collections.Counter[str]:
        counts: collections.Counter[str] = collections.Counter()
        choose = random.Random(seed + number)  # noqa: S311 - deadlines, not secrets
        sender = Sender(server.grpc, model)
        while time.monotonic() < until:
            outcome = sender.send(latency_s * choose.uniform(0.5, 2 * CLIENTS))
            counts[outcome] += 1
            if outcome == "UNAVAILABLE":
                time.sleep(0.2)
        return counts

    with ThreadPoolExecutor(CLIENTS) as senders:
        return sum(senders.map(run, range(CLIENTS)), collections.Counter())


def main() -> None:
    """Serve, attack, and print what happened."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("repository", type=Path)
    parser.add_argument("model", help="a model that takes pixels (uint8)")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with Server(chosen.repository, port=0) as server:
        counts = attack(server, chosen.model, chosen.seconds, chosen.seed)
        until = time.monotonic() + PATIENCE_S
        while server.status.state != "serving" and time.monotonic() < until:
            time.sleep(0.1)
        status = server.status
    row = {
        "model": chosen.model,
        "seconds": chosen.seconds,
        "requests": sum(counts.values()),
        **{outcome.lower(): count for outcome, count in sorted(counts.items())},
        "restarts": status.restarts,
        "last_recovery_s": status.recovery_s,
        "state": status.state,
    }
    for name, value in row.items():
        print(f"{name:20} {value}")
    record("deadlines", [row], {"what": "deadlines near the latency crash Triton 2.51; restarts"})


if __name__ == "__main__":
    main()
