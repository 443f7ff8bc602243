"""A server whose queues are full is left alone while it answers, and healed when it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import tritonclient.grpc as triton
from hostile_images import encoded, photo
from patience import PATIENCE_S, until
from tiny_repository import write
from tritonclient.utils import InferenceServerException

from resnet_serve.preprocessing import Preprocessing
from resnet_serve.triton import config
from resnet_serve.triton.config import Serving
from resnet_serve.triton.queue_bound import QueueBound
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.health.stubs import children, stub_of
from resnet_serve.triton.supervision.orders import Policy

pytestmark = pytest.mark.triton
NAME, SENDERS, OVERLOADED_S = "decoder", 8, 4.0
SMALL = Preprocessing(resize=8, crop=(8, 8))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = config.preprocess(
        NAME,
        input_kind="uint8",
        preprocessing=SMALL,
        serving=Serving(max_batch_size=1, instances=1, threads=1),
        cores=1,
        queue=QueueBound(1),
    )
    files: dict[str, str | bytes] = {
        f"{NAME}/config.pbtxt": config.to_text(made),
        f"{NAME}/1/preprocessing.json": SMALL.to_json(),
    }
    repository = write(tmp_path_factory.mktemp("overloaded"), files)
    policy = Policy(check_s=0.05, check_timeout_s=2, quick_s=0)
    with Server(repository, port=0, policy=policy) as started:
        yield started


@contextmanager
def overload(server: Server) -> Iterator[list[str]]:
    """More requests at any time than the queue holds; what became of each."""
    # Some are decoded within the time of a check on a busy host too.
    slow, ended, found = encoded(photo(600, 450), "JPEG", progressive=True), threading.Event(), []

    def send() -> None:
        given = triton.InferInput("image", [1, 1], "BYTES")
        given.set_data_from_numpy(np.array([[slow]], dtype=np.object_))
        with triton.InferenceServerClient(server.grpc) as client:
            while not ended.is_set():
                try:
                    client.infer(NAME, [given], client_timeout=PATIENCE_S)
                    found.append("answered")
                except InferenceServerException as error:
                    found.append(error.message())
                    time.sleep(0.005)

    senders = [threading.Thread(target=send) for _ in range(SENDERS)]
    for each in senders:
        each.start()
    try:
        assert until(lambda: any("queue size" in each for each in found))
        yield found
    finally:
        ended.set()
        for each in senders:
            each.join()


def test_a_full_queue_is_no_reason_for_a_restart(server: Server) -> None:
    with overload(server) as found:
        began, pid = time.monotonic(), server.status.server_pid
        while time.monotonic() - began < OVERLOADED_S:
            assert server.status.restarts == 0
            time.sleep(0.1)
        rejected = sum("queue size" in each for each in found)
        assert rejected > SENDERS
        assert found.count("answered") + rejected == len(found), set(found)
    assert (server.status.server_pid, server.status.check_failures) == (pid, 0)


def test_a_probe_says_that_it_is_busy_and_healthy(server: Server) -> None:
    words = ("health", NAME, "--url", server.http, "--repository", "nowhere", "--timeout", "30")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with overload(server):
        for _ in range(20):
            done = subprocess.run(
                [sys.executable, "-m", "resnet_serve.cli", *words],
                capture_output=True,
                text=True,
                check=False,
                env=environment,
                timeout=PATIENCE_S,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            if "busy" in done.stdout:
                break
    assert done.stdout.startswith(f"healthy, but busy: {NAME} answers others (")


def test_one_that_answers_nobody_is_healed(server: Server) -> None:
    stubs = [found for pid in children(server.status.server_pid) if (found := stub_of(pid))]
    (stub,) = [each for each in stubs if each.model == NAME]
    with overload(server):
        os.kill(stub.pid, signal.SIGSTOP)
        assert until(lambda: server.status.restarts == 1)
    assert until(lambda: server.status.state == "serving")
    assert server.status.check_failures >= 2
