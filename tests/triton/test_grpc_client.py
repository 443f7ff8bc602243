"""Our own calls end for this side at their time limit, and for the server far behind it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import versioned
from patience import PATIENCE_S, until
from source_tree import SOURCES
from tritonclient.grpc import InferInput, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from resnet_serve.errors import HostError, ResnetServeError, UnavailableError
from resnet_serve.loadtest import inputs
from resnet_serve.triton.grpc_client import BEHIND_S, GrpcClient
from resnet_serve.triton.repository import Repository
from resnet_serve.verification import served
from resnet_serve.verification.reference import recorded


class Recording(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Notes what is left of each call's deadline; it describes a model, and refuses to infer.

    With `held`, an inference is answered when the event is set.
    """

    def __init__(self) -> None:
        self.left_s: list[tuple[str, float | None]] = []
        self.held: threading.Event | None = None
        self.outcomes: list[str] = []

    def noted(self, context: grpc.ServicerContext, response: Any) -> Any:
        self.left_s.append((type(response).__name__, context.time_remaining()))
        return response

    def ServerMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return self.noted(context, service_pb2.ServerMetadataResponse(name="triton"))

    def ServerLive(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return self.noted(context, service_pb2.ServerLiveResponse(live=True))

    def ModelReady(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return self.noted(context, service_pb2.ModelReadyResponse(ready=request.name != "none"))

    def ModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        response = service_pb2.ModelMetadataResponse(versions=["1"])
        response.inputs.add(name="image", datatype="FP32", shape=[-1, 3, 8, 8])
        return self.noted(context, response)

    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        response = service_pb2.ModelConfigResponse()
        response.config.max_batch_size = 4
        return self.noted(context, response)

    def ModelStatistics(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return self.noted(context, service_pb2.ModelStatisticsResponse())

    def RepositoryIndex(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return self.noted(context, service_pb2.RepositoryIndexResponse())

    def RepositoryModelLoad(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> Any:
        return self.noted(context, service_pb2.RepositoryModelLoadResponse())

    def RepositoryModelUnload(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> Any:
        return self.noted(context, service_pb2.RepositoryModelUnloadResponse())

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        response = self.noted(context, service_pb2.ModelInferResponse())
        if self.held is None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        self.held.wait(60)
        self.outcomes.append("answered" if context.is_active() else "cancelled")
        return response


@pytest.fixture
def recording() -> Iterator[tuple[Recording, int]]:
    servicer = Recording()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, port
    server.stop(0).wait()


def described(url: str) -> None:
    signature = inputs.describe(url, "net")
    inputs.request_s(url, signature, inputs.samples(signature), 1)


def not_described(url: str) -> None:
    inputs.describe(url, "none")


CALLERS: dict[str, tuple[Callable[[str], None], set[str]]] = {
    "the load test": (
        described,
        {"ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig", "ModelInfer"},
    ),
    "its hints": (not_described, {"ServerMetadata", "ModelReady", "ModelStatistics"}),
}


@pytest.mark.parametrize("caller", CALLERS)
def test_deadlines_are_far_behind_the_wait(caller: str, recording: tuple[Recording, int]) -> None:
    servicer, port = recording
    ask, expected = CALLERS[caller]
    with contextlib.suppress(ResnetServeError):
        ask(f"127.0.0.1:{port}")
    check(servicer, expected)


def test_those_of_verify_and_of_the_smoke_test_too(
    recording: tuple[Recording, int], tmp_path: Path
) -> None:
    servicer, port = recording
    made = Repository(tmp_path / "models")
    versioned.deploy(made)
    (deployed,) = made.deployed()
    with (
        contextlib.closing(GrpcClient(f"127.0.0.1:{port}")) as client,
        pytest.raises(ResnetServeError),
    ):
        served.rows(deployed, client, recorded(deployed))
    check(servicer, {"ModelConfig", "ModelInfer"})


def check(servicer: Recording, expected: set[str]) -> None:
    assert {name.removesuffix("Response") for name, _ in servicer.left_s} >= expected
    for name, left_s in servicer.left_s:
        assert left_s is not None, f"{name} has no deadline at all"
        assert left_s > BEHIND_S, name


def test_every_client_of_ours_is_this_one() -> None:
    own = "resnet_serve/triton/grpc_client.py"
    others = [path for path in SOURCES if not str(path).endswith(own)]
    assert len(others) == len(SOURCES) - 1
    raw = "InferenceServerClient("
    wrong = [path for path in others if raw in path.read_text(encoding="utf-8")]
    assert not wrong


@pytest.mark.parametrize("closed", ["before", "after"])
def test_what_takes_too_long_is_given_up_and_not_cancelled(
    closed: str, recording: tuple[Recording, int]
) -> None:
    servicer, port = recording
    servicer.held = threading.Event()
    client = GrpcClient(f"127.0.0.1:{port}")
    given = InferInput("image", [1, 1], "FP32")
    given.set_data_from_numpy(np.zeros((1, 1), np.float32))
    with pytest.raises(InferenceServerException, match=r"no response within 0\.1 s") as late:
        client.infer("net", [given], client_timeout=0.1)
    assert late.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    if closed == "before":
        client.close()
    servicer.held.set()
    assert until(lambda: bool(servicer.outcomes))
    assert servicer.outcomes == ["answered"]
    client.close()
    with pytest.raises(ValueError, match="closed"):
        client.is_server_live(client_timeout=1)


def test_a_call_without_a_limit_is_refused(recording: tuple[Recording, int]) -> None:
    _, port = recording
    with GrpcClient(f"127.0.0.1:{port}") as client, pytest.raises(TypeError, match="timeout"):
        client.is_server_live()


def test_without_a_connection_the_host_is_the_one_that_was_given(
    recording: tuple[Recording, int],
) -> None:
    """`localhost` is two addresses: gRPC names either, and the server may be at the other."""
    _, port = recording
    with GrpcClient(f"127.0.0.1:{port}") as client, pytest.raises(HostError) as refused:
        client.ask("net", np.zeros((3, 8, 8), np.float32), ["logits"], timeout_s=PATIENCE_S)
    assert refused.value.what == "net does not answer: not now"
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # and it does not listen
        url = f"localhost:{taken.getsockname()[1]}"
        with GrpcClient(url) as client, pytest.raises(UnavailableError) as gone:
            client.configuration("net")
    assert gone.value.what == f"net is not served: no server answers at {url}"
    assert gone.value.remedy is not None
    assert "--tls" in gone.value.remedy
    assert f"try 127.0.0.1:{url[10:]} or [::1]:{url[10:]}" in gone.value.remedy
