"""What a probe sends; what the real server answers is in test_recovery.py."""

from __future__ import annotations

import io
import json
import socket
import struct
import threading
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnet_serve.triton.supervision.health.probe import PNG, Probe, Unreachable, request_for


def config(data_type: str, dims: list[int], batch: int = 4) -> dict[str, Any]:
    entry = {"name": "x", "data_type": f"TYPE_{data_type}", "dims": dims}
    return {"max_batch_size": batch, "input": [entry]}


@pytest.mark.parametrize(
    ("kind", "size"), [("UINT8", 1), ("FP16", 2), ("BF16", 2), ("FP32", 4), ("INT64", 8)]
)
def test_numbers_are_zeros_of_the_right_size(kind: str, size: int) -> None:
    header, data = request_for(config(kind, [32, -1, 3]))
    assert data == bytes(32 * 3 * size)
    (sent,) = json.loads(header)["inputs"]
    assert (sent["datatype"], sent["shape"]) == (kind, [1, 32, 1, 3])
    assert sent["parameters"] == {"binary_data_size": len(data)}


def test_without_a_batch_there_is_no_batch_axis() -> None:
    header, _ = request_for(config("FP32", [2, 2], batch=0))
    assert json.loads(header)["inputs"][0]["shape"] == [2, 2]


def test_encoded_images_are_a_real_png() -> None:
    header, data = request_for(config("STRING", [1]))
    assert json.loads(header)["inputs"][0]["datatype"] == "BYTES"
    (length,) = struct.unpack("<I", data[:4])
    assert data[4:] == PNG
    assert length == len(PNG)
    pixels = np.asarray(Image.open(io.BytesIO(PNG)))
    assert pixels.shape == (8, 8, 3)
    assert (pixels == 128).all()


def test_the_port_of_grpc_is_said_to_be_no_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def settings() -> None:  # the frames with which a gRPC server begins
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(bytes.fromhex("000006040000000000000500004000") + b"\n")

        answering = threading.Thread(target=settings)
        answering.start()
        with pytest.raises(Unreachable, match=r"^does not speak HTTP; gRPC has the port after"):
            Probe("127.0.0.1", server.getsockname()[1]).get("/v2/health/ready")
        answering.join()


def test_a_port_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    probe = Probe("127.0.0.1", port)
    assert not probe.ready()
    with pytest.raises(Unreachable, match="connection refused"):
        probe.models()
    answer = probe.ask("toy")
    assert (answer.healthy, answer.detail) == (False, "connection refused")


def test_a_server_that_says_nothing_is_busy_not_broken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        probe = Probe("127.0.0.1", silent.getsockname()[1], timeout_s=0.1)
        answer = probe.ask("toy")
    assert answer.healthy is None
    assert "no answer within 0.1 s" in answer.detail
