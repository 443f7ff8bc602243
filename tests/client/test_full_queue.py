"""The Python client and a bounded queue of the real server that is full."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import tritonclient.grpc as triton
from hostile_images import encoded, photo
from patience import PATIENCE_S, until
from served_digits import COLOURS, deploy_means

from resnet_client import Classifier, DeadlineError, UnavailableError
from resnet_client.transport.deadlines import Deadline
from resnet_serve.triton.queue_bound import QueueBound
from resnet_serve.triton.server import Server

pytestmark = pytest.mark.triton

SMALL = encoded(photo(24, 16), "PNG")
ROOM = 1


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`means_image`, whose images are decoded one by one, with one more waiting."""
    repository = tmp_path_factory.mktemp("bounded")
    deploy_means(repository, QueueBound(ROOM, 1e3 * PATIENCE_S))
    with Server(repository, port=0, drain_s=0) as running:
        yield running


@pytest.fixture(scope="module")
def slow() -> bytes:
    return encoded(photo(6000, 4500), "JPEG", progressive=True)


@contextmanager
def full(server: Server, slow: bytes) -> Iterator[list[Future[object]]]:
    """Requests that take a while: one is computed, and the queue has no room for another."""
    running: list[Future[object]] = []
    with (
        triton.InferenceServerClient(server.grpc) as client,
        ThreadPoolExecutor(64) as pool,
    ):

        def ask() -> object:
            given = triton.InferInput("image", [1, 1], "BYTES")
            given.set_data_from_numpy(np.array([[slow]], dtype=np.object_))
            return client.infer("means_image", [given], client_timeout=PATIENCE_S)

        def is_full() -> bool:
            running.append(pool.submit(ask))
            return any(
                each.done() and "Exceeds maximum queue size" in str(each.exception())
                for each in running
            )

        assert until(is_full)
        yield running


def test_a_rejected_request_is_sent_again_until_there_is_room(bounded: Server, slow: bytes) -> None:
    told: list[str] = []
    with Classifier(
        bounded.grpc, "means", decode="server", timeout_s=PATIENCE_S, notice=told.append
    ) as classifier:
        classifier.classify(SMALL)
        with full(bounded, slow):
            assert classifier.classify(SMALL, top=1)[0].label in COLOURS
    (line,) = told
    assert re.search(r"Exceeds maximum queue size; trying again for up to \d+ s$", line)


def test_a_queue_that_stays_full_is_a_retryable_error_of_one_line(
    bounded: Server, slow: bytes
) -> None:
    with Classifier(bounded.grpc, "means", decode="server") as classifier:
        classifier.classify(SMALL)
        with full(bounded, slow) as running:
            with pytest.raises(UnavailableError) as caught:
                classifier.classify_by(SMALL, 1, Deadline.after(0.2))
            assert not all(each.done() for each in running)
    assert not isinstance(caught.value, DeadlineError)
    assert caught.value.exit_code == 4
    assert re.fullmatch(
        rf"the server at {bounded.grpc} accepts no requests now: .*Exceeds maximum queue size\. "
        r"Its queue is full: send less at once, or allow a longer timeout\.",
        str(caught.value),
    )
