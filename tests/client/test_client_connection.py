"""What the real server cannot be told to do: a server that refuses on purpose, and counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from resnet_client.connection import Connection, classifiers, nearest
from resnet_client.errors import DeadlineError, ModelError, ServerError, UnavailableError

MESSAGE_BYTES = 32_000_000


class Reluctant(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Refuses with `code` the first `refusals` times; its list of models is restricted."""

    def __init__(self) -> None:
        self.calls = 0
        self.refusals = 0
        self.code = grpc.StatusCode.UNAVAILABLE

    def _refuse(self, context: grpc.ServicerContext) -> None:
        self.calls += 1
        if self.calls <= self.refusals:
            context.abort(self.code, "not\nnow")

    def ServerLive(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return service_pb2.ServerLiveResponse(live=True)

    def ModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._refuse(context)
        return service_pb2.ModelMetadataResponse(versions=["9", "10", "1"])

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._refuse(context)
        response = service_pb2.ModelInferResponse(model_version="10")
        response.outputs.add(name="logits", datatype="BYTES", shape=[1, 1])
        response.raw_output_contents.append(b"\x05\0\0\x001.0:0")
        return response

    def ModelStatistics(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self.calls += 1
        context.abort(grpc.StatusCode.UNAVAILABLE, "This protocol is restricted, expecting header")


@pytest.fixture
def reluctant() -> Reluctant:
    return Reluctant()


@dataclass
class Started:
    server: grpc.Server
    port: int

    def stop(self) -> None:
        self.server.stop(0).wait()


def start(servicer: Reluctant | None, port: int = 0) -> Started:
    """A gRPC server on loopback; without a servicer it knows no method at all."""
    limit = [("grpc.max_receive_message_length", MESSAGE_BYTES)]
    server = grpc.server(futures.ThreadPoolExecutor(4), options=limit)
    if servicer is not None:
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return Started(server, bound)


@pytest.fixture
def connection(reluctant: Reluctant) -> Iterator[Connection]:
    server = start(reluctant)
    made = Connection(f"127.0.0.1:{server.port}", timeout_s=10)
    yield made
    made.close()
    server.stop()


def infer(connection: Connection, shape: tuple[int, ...] = (1, 2, 2, 3)) -> tuple[str, Any]:
    return connection.infer(
        "resnet50",
        "",
        input_name="image",
        batch=np.zeros(shape, np.uint8),
        output_name="logits",
        classes=1,
    )


def test_the_latest_version_is_a_number(connection: Connection) -> None:
    assert connection.latest("resnet50") == "10"


def test_unavailable_is_tried_again(connection: Connection, reluctant: Reluctant) -> None:
    reluctant.refusals = 2
    version, answer = infer(connection)
    assert (version, answer.tolist()) == ("10", [[b"1.0:0"]])
    assert reluctant.calls == 3


def test_large_requests_are_tried_again_too(connection: Connection, reluctant: Reluctant) -> None:
    """gRPC's own buffer for what it may have to send again is 256 KB."""
    reluctant.refusals = 2
    infer(connection, (1, 2000, 2000, 3))
    assert reluctant.calls == 3


def test_a_server_that_comes_back_is_found_at_once(reluctant: Reluctant) -> None:
    """gRPC's own pause between connections grows to two minutes unless told otherwise."""
    server = start(reluctant)
    waiting = Connection(f"127.0.0.1:{server.port}", timeout_s=10)
    assert waiting.latest("resnet50") == "10"
    server.stop()
    for _ in range(4):
        with pytest.raises(UnavailableError, match="nothing answers"):
            waiting.latest("resnet50")
    server = start(reluctant, port=server.port)
    assert waiting.latest("resnet50") == "10"
    waiting.close()
    server.stop()


def test_it_gives_up_in_the_servers_words(connection: Connection, reluctant: Reluctant) -> None:
    reluctant.refusals = 99
    with pytest.raises(UnavailableError, match=r"is up, but answers: not now$"):
        infer(connection)
    assert 1 < reluctant.calls < 6


def test_nothing_else_is_tried_again(connection: Connection, reluctant: Reluctant) -> None:
    reluctant.refusals = 99
    for code in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ):
        reluctant.calls, reluctant.code = 0, code
        with pytest.raises(ServerError, match=r"^model 'resnet50': not now$"):
            infer(connection)
        assert reluctant.calls == 1


def test_no_retry_outlives_the_deadline(connection: Connection, reluctant: Reluctant) -> None:
    reluctant.refusals = 99
    connection.timeout_s = 0.05
    started = time.monotonic()
    with pytest.raises((DeadlineError, UnavailableError)):
        infer(connection)
    assert time.monotonic() - started < 5
    calls = reluctant.calls
    time.sleep(0.5)
    assert reluctant.calls == calls


def test_a_server_may_keep_its_models_to_itself(
    connection: Connection, reluctant: Reluctant
) -> None:
    assert connection.models() is None
    assert reluctant.calls == 1
    reluctant.calls, reluctant.refusals, reluctant.code = 0, 1, grpc.StatusCode.NOT_FOUND
    with pytest.raises(ModelError, match=r"no model 'resnet50'\. It keeps the list .* to itself"):
        infer(connection)


def test_an_answer_of_another_shape_is_refused(connection: Connection) -> None:
    with pytest.raises(ServerError, match=r"answered \[1, 1\] for 'logits'"):
        infer(connection, (2, 2, 2, 3))


def test_another_grpc_server_is_no_triton() -> None:
    server = start(None)
    other = Connection(f"127.0.0.1:{server.port}", timeout_s=10)
    with pytest.raises(UnavailableError, match=f"what answers at {other.url} is no Triton"):
        other.latest("resnet50")
    other.close()
    server.stop()


def test_companions_are_not_classifiers() -> None:
    names = ["resnet18", "resnet18_image", "resnet18_preprocess", "cats_image", "resnet50"]
    assert classifiers(names) == ["resnet18", "cats_image", "resnet50"]
    assert nearest("resnet5", names)[0] == "resnet50"
    assert nearest("CATS", names)[0] == "cats_image"


@pytest.mark.parametrize("proxied", ["http_proxy", "grpc_proxy"])
def test_no_proxy_stands_before_this_host(
    reluctant: Reluctant, monkeypatch: pytest.MonkeyPatch, proxied: str
) -> None:
    monkeypatch.setenv(proxied, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    server = start(reluctant)
    direct = Connection(f"127.0.0.1:{server.port}", timeout_s=10)
    assert direct.latest("resnet50") == "10"
    direct.close()
    server.stop()
