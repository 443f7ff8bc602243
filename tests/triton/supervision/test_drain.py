"""A server that is told to stop answers what it has accepted, if it is given the time."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from patience import PATIENCE_S, until
from tiny_repository import IMAGE, config, onnx_model, parameter, write

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
    return Server(write(tmp_path / "repository", files), port=0)


def in_flight(server: Server, pool: ThreadPoolExecutor) -> list[Future[np.ndarray]]:
    """Requests that the server has accepted, the first of them being computed."""
    requests = [pool.submit(infer, server) for _ in range(REQUESTS)]
    endpoints = server.endpoints
    probe = Probe(endpoints.host, endpoints.http_port)

    def accepted() -> bool:
        _, body = Probe(probe.host, endpoints.metrics_port).get("/metrics")
        pending = [
            line.split()[-1]
            for line in body.decode().splitlines()
            if line.startswith("nv_inference_pending_request_count{") and "slow" in line
        ]
        return sum(map(float, pending)) >= REQUESTS - 1

    assert until(accepted)
    return requests


def test_all_that_is_in_flight_is_answered(server: Server) -> None:
    server.start()
    with ThreadPoolExecutor(REQUESTS) as pool:
        infer(server)
        requests = in_flight(server, pool)
        server.stop()
        answers = [request.result(PATIENCE_S) for request in requests]
    for answer in answers:
        np.testing.assert_allclose(answer, [[0.2, 0.9, 0.5]], rtol=1e-5)
