"""A gRPC server with Triton's protocol that does what a test says, which the real one cannot."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Sequence
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

MESSAGE_BYTES = 32_000_000


class Reluctant(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Refuses with `code` the first `refusals` times; its list of models is restricted."""

    def __init__(self) -> None:
        self.calls = 0
        self.refusals = 0
        self.refused_after_s = 0.0
        self.code = grpc.StatusCode.UNAVAILABLE
        self.message = "not\nnow"
        self.version = "2.51.0"
        self.pause_s = 0.0
        self.released = threading.Event()  # ends the pauses
        self.outcomes: list[str] = []  # of inferences: answered or cancelled
        self.ready_after = 0  # calls
        self.ready = True
        self.ending = False  # as Triton, which unloads its models while it listens
        self.headers: list[Any] = []
        self.peers: list[str] = []

    def _refuse(self, context: grpc.ServicerContext) -> None:
        self.calls += 1
        self._seen(context)
        if self.calls <= self.refusals:
            time.sleep(self.refused_after_s)
            context.abort(self.code, self.message)

    def _end(self, context: grpc.ServicerContext) -> None:
        if self.ending:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Server exiting")

    def _seen(self, context: grpc.ServicerContext) -> None:
        self.headers.append(context.invocation_metadata())
        self.peers.append(context.peer())

    def ServerLive(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._end(context)
        return service_pb2.ServerLiveResponse(live=True)

    def ServerReady(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._end(context)
        return service_pb2.ServerReadyResponse(ready=self.ready)

    def ServerMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._seen(context)
        return service_pb2.ServerMetadataResponse(name="triton", version=self.version)

    def ModelReady(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self.calls += 1
        return service_pb2.ModelReadyResponse(ready=self.calls > self.ready_after)

    def ModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._refuse(context)
        return service_pb2.ModelMetadataResponse(versions=["9", "10", "1"])

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._refuse(context)
        end_s = time.monotonic() + self.pause_s
        while context.is_active() and time.monotonic() < end_s and not self.released.wait(0.02):
            pass
        self.outcomes.append("answered" if context.is_active() else "cancelled")
        response = service_pb2.ModelInferResponse(model_version="10")
        response.outputs.add(name="logits", datatype="BYTES", shape=[1, 1])
        response.raw_output_contents.append(b"\x05\0\0\x001.0:0")
        return response

    def ModelStatistics(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self.calls += 1
        restricted = "This protocol is restricted, expecting header"
        said = "Server not ready" if self.ending else restricted
        context.abort(grpc.StatusCode.UNAVAILABLE, said)


class Scripted(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Serves `configs` by name in version `version`; with `restless`, a new version each request.

    Its one output is `features`, FP32 [n,2]: the mean and the maximum of each element of the batch.
    """

    def __init__(self, **configs: Any) -> None:
        self.configs = configs
        self.version = 1
        self.restless = False

    def ServerMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return service_pb2.ServerMetadataResponse(name="triton", version="2.51.0")

    def ModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return service_pb2.ModelMetadataResponse(versions=[str(self.version)])

    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        if request.name not in self.configs:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown model")
        return service_pb2.ModelConfigResponse(config=self.configs[request.name])

    def ModelStatistics(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        response = service_pb2.ModelStatisticsResponse()
        for name in self.configs:
            response.model_stats.add(name=name, version=str(self.version))
        return response

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self.version += self.restless
        batch = np.frombuffer(request.raw_input_contents[0], np.uint8)
        rows = batch.reshape(request.inputs[0].shape[0], -1)
        found = np.stack([rows.mean(axis=1), rows.max(axis=1)], axis=1).astype(np.float32)
        response = service_pb2.ModelInferResponse(model_version=str(self.version))
        response.outputs.add(name="features", datatype="FP32", shape=list(found.shape))
        response.raw_output_contents.append(found.tobytes())
        return response


class Ranking(service_pb2_grpc.GRPCInferenceServiceServicer):
    """A classifier whose logits rise from −classes/2 by one; it notes what it was asked for.

    `asked` has the size of each batch, and the number of classes wanted as strings, 0 for none.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.asked: list[tuple[int, int]] = []

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        batch = request.inputs[0].shape[0]
        wanted = request.outputs[0].parameters["classification"].int64_param
        self.asked.append((batch, wanted))
        logits = np.arange(self.classes, dtype=np.float32) - self.classes // 2
        response = service_pb2.ModelInferResponse(model_version="1")
        if wanted:
            best = range(self.classes - 1, self.classes - 1 - min(wanted, self.classes), -1)
            strings = [f"{logits[i]:f}:{i}:label {i}".encode() for i in best]
            row = b"".join(struct.pack("<I", len(each)) + each for each in strings)
            response.outputs.add(name="logits", datatype="BYTES", shape=[batch, len(strings)])
            response.raw_output_contents.append(row * batch)
        else:
            response.outputs.add(name="logits", datatype="FP32", shape=[batch, self.classes])
            response.raw_output_contents.append(logits.tobytes() * batch)
        return response


def features_config(max_batch_size: int, preprocessing: str) -> Any:
    """A model of ours with the head `features`: UINT8 [8,8,3] in, FP32 [2] out."""
    made = model_config_pb2.ModelConfig(name="features", max_batch_size=max_batch_size)
    made.input.add(name="image", data_type=model_config_pb2.TYPE_UINT8, dims=[8, 8, 3])
    made.output.add(name="features", data_type=model_config_pb2.TYPE_FP32, dims=[2])
    made.parameters["preprocessing"].string_value = preprocessing
    return made


@dataclass
class Started:
    """A running server; `url` is its address."""

    server: grpc.Server
    port: int
    url: str = field(init=False)

    def __post_init__(self) -> None:
        self.url = f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.server.stop(0).wait()


def start(
    servicer: Any | None,
    port: int = 0,
    *,
    credentials: grpc.ServerCredentials | None = None,
    options: Sequence[tuple[str, Any]] = (),
) -> Started:
    """A gRPC server on loopback; without a servicer it knows no method at all."""
    limit = ("grpc.max_receive_message_length", MESSAGE_BYTES)
    server = grpc.server(futures.ThreadPoolExecutor(80), options=[limit, *options])
    if servicer is not None:
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    address = f"127.0.0.1:{port}"
    bound = (
        server.add_insecure_port(address)
        if credentials is None
        else server.add_secure_port(address, credentials)
    )
    server.start()
    return Started(server, bound)
