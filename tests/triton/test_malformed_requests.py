"""Malformed requests: each gets an error, and the server goes on answering.

Requests are mutations of good ones, from a fixed seed, over HTTP and gRPC. Three kinds of HTTP body
are left out, because they end Triton 2.51 itself (its supervisor then restarts it): tens of
thousands of nested brackets, a body in hundreds of thousands of one-byte chunks, and a shape of
hundreds of gigabytes beside data in JSON.
"""

from __future__ import annotations

import http.client
import json
import random
import struct
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from patience import PATIENCE_S
from tiny_repository import config, mean_model, write
from tritonclient.grpc import service_pb2

from resnet_serve.triton.server import Server

pytestmark = pytest.mark.triton
PIXELS = np.zeros((1, 3, 8, 8), np.float32)
GOOD = {
    "id": "1",
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [1, 3, 8, 8], "data": PIXELS.ravel().tolist()}
    ],
    "outputs": [{"name": "y", "parameters": {"binary_data": False, "classification": 1}}],
}
TOO_MUCH = 1 << 31  # channels: 550 GB
# What is put in the place of any value of a good body.
STRANGE: tuple[object, ...] = (
    *(None, True, -1, 0, 1.5, TOO_MUCH, 1 << 63, -(1 << 63), 1e308, "", "x", "\0", "é" * 100),
    *([], {}, [[]], [None], [-1], [1, -1, 8, 8], [1 << 40] * 4, [0, 3, 8, 8], {"x": []}),
    *("BYTES", "UINT8", "FP64", "BOOL", "fp32", ["FP32"]),
)
REQUESTS = 150


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    files = {"mean/config.pbtxt": config(), "mean/1/model.onnx": mean_model()}
    with Server(write(tmp_path_factory.mktemp("mutated"), files), port=0, drain_s=0) as started:
        yield started


@pytest.fixture(autouse=True)
def unharmed(server: Server) -> Iterator[None]:
    """The server answers afterwards, and is the process that it was."""
    process = server.status.server_pid
    yield
    with triton.InferenceServerClient(server.grpc) as client:
        given = triton.InferInput("x", [1, 3, 8, 8], "FP32")
        given.set_data_from_numpy(PIXELS + 0.5)
        answer = client.infer("mean", [given], client_timeout=PATIENCE_S).as_numpy("y")
    np.testing.assert_allclose(answer, 0.5)
    assert (server.status.server_pid, server.status.restarts) == (process, 0), server.status


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path to each value of a JSON document, but for all but two of the pixels."""
    if path:
        yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value[:2] if path else value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        yield from places(item, (*path, key))


def with_strange(place: tuple[str | int, ...], strange: object) -> bytes:
    """A good body with something else in one place."""
    body = json.loads(json.dumps(GOOD))
    target = body
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = strange
    return json.dumps(body).encode()


def ask(server: Server, body: bytes, **headers: str) -> int:
    """The status of an inference over HTTP."""
    connection = http.client.HTTPConnection(server.http, timeout=PATIENCE_S)
    try:
        connection.request("POST", "/v2/models/mean/infer", body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def test_a_strange_value_in_every_place(server: Server) -> None:
    assert ask(server, json.dumps(GOOD).encode()) == 200
    chance = random.Random(1)
    every = [
        (place, strange)
        for place in places(GOOD)
        for strange in STRANGE
        if not (place[:3] == ("inputs", 0, "shape") and strange == TOO_MUCH)
    ]
    for place, strange in chance.sample(every, REQUESTS):
        assert ask(server, with_strange(place, strange)) in (200, 400, 404, 500), (place, strange)


def test_bytes_that_are_cut_or_changed(server: Server) -> None:
    good, chance = json.dumps(GOOD).encode(), random.Random(2)
    statuses = set()
    for _ in range(REQUESTS):
        body = bytearray(good[: chance.choice((len(good), chance.randrange(len(good))))])
        for _ in range(chance.randrange(1, 6)):
            body[chance.randrange(len(body) or 1) : 0] = bytes([chance.randrange(256)])
        statuses.add(ask(server, bytes(body)))
    assert statuses <= {200, 400, 404, 500}
    assert statuses - {200}


@pytest.mark.parametrize("length", ["0", "1", "-1", "99999999999999999999", "x", ""])
def test_a_header_that_says_another_length_of_the_json(server: Server, length: str) -> None:
    header = {"Inference-Header-Content-Length": length}
    body = json.dumps(GOOD).encode() + bytes(64)
    assert ask(server, body, **header) in (200, 400, 500)


def test_binary_data_of_the_wrong_size(server: Server) -> None:
    for size in (0, 1, 767, 769, 1 << 40, -1):
        for sent in (0, 1, 768):
            described = {"name": "x", "datatype": "FP32", "shape": [1, 3, 8, 8]}
            described["parameters"] = {"binary_data_size": size}
            head = json.dumps({"inputs": [described]}).encode()
            header = {"Inference-Header-Content-Length": str(len(head))}
            status = ask(server, head + bytes(sent), **header)
            assert status in (400, 500), (size, sent)


def test_grpc_messages_that_are_changed(server: Server) -> None:
    message = service_pb2.ModelInferRequest(model_name="mean")
    message.inputs.add(name="x", datatype="FP32", shape=[1, 3, 8, 8])
    message.raw_input_contents.append(PIXELS.tobytes())
    good, chance = message.SerializeToString(), random.Random(3)
    codes = set()
    with grpc.insecure_channel(server.grpc) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        infer(good, timeout=PATIENCE_S)
        for _ in range(REQUESTS):
            body = bytearray(good[: chance.choice((len(good), chance.randrange(60)))])
            for _ in range(chance.randrange(1, 5)):
                if body:
                    body[chance.randrange(min(40, len(body)))] = chance.randrange(256)
            codes.add(code_of(infer, bytes(body)))
        for shape in ([], [-1], [1 << 62] * 4, [0, 3, 8, 8], [1, 3, 8, 8] * 50):
            message.inputs[0].shape[:] = shape
            codes.add(code_of(infer, message.SerializeToString()))
        for count in (0, 2, 50):
            message.inputs[0].shape[:] = [1, 3, 8, 8]
            message.raw_input_contents[:] = [struct.pack("<I", 1 << 31)] * count
            codes.add(code_of(infer, message.SerializeToString()))
    assert "INVALID_ARGUMENT" in codes
    assert codes <= {
        "OK",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "INTERNAL",
        "UNIMPLEMENTED",
        "UNAVAILABLE",
    }


def code_of(infer: grpc.UnaryUnaryMultiCallable, body: bytes) -> str:
    """The status of one call."""
    try:
        infer(body, timeout=PATIENCE_S)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"
