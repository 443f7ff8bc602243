"""A server that is told to stop answers what it has accepted, if it is given the time."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from patience import PATIENCE_S, until
from tiny_repository import IMAGE, config, onnx_model, parameter, write

from resnet_client.errors import UnavailableError
from resnet_client.transport.connection import Connection
from resnet_client.transport.deadlines import Deadline
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.health.probe import Probe

pytestmark = [pytest.mark.triton, pytest.mark.slow]

REQUESTS = 6
SIDE, PRODUCTS = 1024, 24  # half a second and more of one core


def slow_model(products: int) -> bytes:
    """The mean over the last two axes, and so many matrix products that add nothing to it."""
    lines = [
        f"wide = Constant <value = int64[2] {{{SIDE}, {SIDE}}}> ()",
        f"small = Constant <value = float {{{1 / SIDE}}}> ()",
        "level = ReduceMean <keepdims = 0> (x)",
        "scaled = Mul (level, small)",
        "p0 = Expand (scaled, wide)",
        *(f"p{each + 1} = MatMul (p{each}, p0)" for each in range(products)),
        f"most = ReduceMax <keepdims = 0> (p{products})",
        "nothing = Sub (most, most)",
        "means = ReduceMean <axes = [2, 3], keepdims = 0> (x)",
        "y = Add (means, nothing)",
    ]
    return onnx_model("float[N,3,8,8] x) => (float[N,3] y", "\n".join(lines))


def infer(server: Server, timeout_s: float = PATIENCE_S) -> np.ndarray:
    with triton.InferenceServerClient(server.grpc) as client:
        given = triton.InferInput("x", [1, *IMAGE.shape], "FP32")
        given.set_data_from_numpy(IMAGE[None])
        return client.infer("slow", [given], client_timeout=timeout_s).as_numpy("y")


@pytest.fixture
def server(tmp_path: Path) -> Server:
    threads = parameter("intra_op_thread_count", "1")
    files = {
        "slow/config.pbtxt": config(batch=1, rest=threads),
        "slow/1/model.onnx": slow_model(PRODUCTS),
    }
    # The time that is enough where nothing else runs, 20 s, is not on a busy host.
    return Server(write(tmp_path / "repository", files), port=0, drain_s=PATIENCE_S)


def in_flight(server: Server, pool: ThreadPoolExecutor) -> list[Future[np.ndarray]]:
    """Requests that the server has accepted, the first of them being computed."""
    requests = [pool.submit(infer, server) for _ in range(REQUESTS)]
    endpoints = server.endpoints
    probe = Probe(endpoints.host, endpoints.http_port)

    def accepted() -> bool:
        # Those that are there before the others come are computed meanwhile on a busy host.
        answered = sum(each.done() for each in requests)
        requests.extend(
            pool.submit(infer, server) for _ in range(REQUESTS - len(requests) + answered)
        )
        _, body = Probe(probe.host, endpoints.metrics_port).get("/metrics")
        pending = [
            line.split()[-1]
            for line in body.decode().splitlines()
            if line.startswith("nv_inference_pending_request_count{") and "slow" in line
        ]
        return sum(map(float, pending)) >= REQUESTS - 1

    assert until(accepted)
    return requests


def late(url: str) -> list[UnavailableError]:
    """What a client is told, once a request and until the server has gone; nothing else is told."""
    said: list[UnavailableError] = []
    with closing(Connection(url, timeout_s=PATIENCE_S)) as connection:
        while not (said and said[-1].what.startswith("no server answers")):
            once = Deadline.after(PATIENCE_S, once=True)
            try:
                connection.infer("slow", "", input_name="x", batch=IMAGE[None], deadline=once)
            except UnavailableError as error:
                said.append(error)
            time.sleep(0.02)
    return said


def test_all_that_is_in_flight_is_answered(server: Server) -> None:
    """And who comes late may try again, also when Triton has unloaded the model."""
    server.start()
    with ThreadPoolExecutor(REQUESTS + 1) as pool:
        infer(server)
        requests = in_flight(server, pool)
        coming = pool.submit(late, server.grpc)
        server.stop()
        answers = [request.result(PATIENCE_S) for request in requests]
        said = coming.result(PATIENCE_S)
    for answer in answers:
        np.testing.assert_allclose(answer, [[0.2, 0.9, 0.5]], rtol=1e-5)
    assert any("accepts no requests now" in str(error) for error in said), said
