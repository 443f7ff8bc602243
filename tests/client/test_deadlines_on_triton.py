"""Deadlines around the latency of the real server, which crash it when gRPC enforces them.

The same calls with gRPC's own deadline, 8 threads, ended this Triton with signal 11 after 17 s
(2.51, triton-inference-server/server #7368).
"""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import pytest
from patience import PATIENCE_S

from resnet_client import Classifier, UnavailableError
from resnet_serve.triton.server import Server

pytestmark = pytest.mark.triton

IMAGE = np.zeros((32, 32, 3), np.uint8)
CALLS, THREADS = 60, 8


def test_the_server_survives_deadlines_around_its_latency(server: Server) -> None:
    with Classifier(server.grpc, "resnet20", timeout_s=PATIENCE_S) as classifier:
        classifier.classify(IMAGE)
        began = time.perf_counter()
        classifier.classify(IMAGE)
        latency_s = time.perf_counter() - began
    outcomes: list[str] = []

    def ask(seed: int) -> None:
        chance = random.Random(seed)
        with Classifier(server.grpc, "resnet20", timeout_s=PATIENCE_S) as mine:
            mine.classify(IMAGE)
            for _ in range(CALLS):
                mine._connection.timeout_s = latency_s * chance.uniform(0.3, 4 * THREADS)
                try:
                    mine.classify(IMAGE)
                    outcomes.append("answered")
                except UnavailableError:  # a DeadlineError, or a full queue
                    outcomes.append("too late")

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == CALLS * THREADS
    assert set(outcomes) == {"answered", "too late"}
    with Classifier(server.grpc, "resnet20", timeout_s=PATIENCE_S) as after:
        after.classify(IMAGE)
        assert after._connection.failures == 0
