"""What is sent over HTTP and read from it; a real server answers in tests/triton/rollout."""

from __future__ import annotations

import http.server
import json
import struct
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from resnet_serve.errors import HostError, UnavailableError
from resnet_serve.triton.http_client import HEADER_LENGTH, HttpClient
from resnet_serve.triton.supervision.endpoints import KEY_HEADER, Endpoints, claim_ports

LOGITS = np.array([[0.5, -2.0]], np.float32)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers `net` with logits, or with strings where classes are asked for."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        length = int(self.headers[HEADER_LENGTH])
        header = json.loads(body[:length])
        self.server.asked = (self.path, self.headers[KEY_HEADER], header, body[length:])
        status, answer = (200, self._answer(header)) if "/net/" in self.path else (400, None)
        text, content = answer or (json.dumps({"error": "unknown\nmodel"}).encode(), b"")
        self.send_response(status)
        self.send_header(HEADER_LENGTH, str(len(text)))
        self.end_headers()
        self.wfile.write(text + content)

    @staticmethod
    def _answer(header: dict) -> tuple[bytes, bytes]:
        if header["outputs"][0]["parameters"].get("classification"):
            content, kind, shape = struct.pack("<I", 7) + b"0.5:0:a", "BYTES", [1, 1]
        else:
            content, kind, shape = LOGITS.tobytes(), "FP32", [1, 2]
        described = {"name": "logits", "datatype": kind, "shape": shape}
        described["parameters"] = {"binary_data_size": len(content)}
        return json.dumps({"outputs": [described]}).encode(), content

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[http.server.HTTPServer]:
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def client(port: int) -> HttpClient:
    return HttpClient(Endpoints("127.0.0.1", port, 1, 2, "id", "secret"))


def test_tensors_go_as_binary(server: http.server.HTTPServer) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    found = client(server.server_port).ask("net", pixels, ["logits"], version="3", timeout_s=60)
    np.testing.assert_array_equal(found["logits"], LOGITS)
    path, key, header, content = server.asked
    assert (path, key, content) == ("/v2/models/net/versions/3/infer", "secret", pixels.tobytes())
    (sent,) = header["inputs"]
    assert (sent["datatype"], sent["shape"]) == ("UINT8", [1, 2, 2, 3])


def test_files_and_labels(server: http.server.HTTPServer) -> None:
    file = np.array([b"png"], np.object_)
    found = client(server.server_port).ask("net", file, ["logits"], classes=1, timeout_s=60)
    assert found["logits"].tolist() == [[b"0.5:0:a"]]
    assert server.asked[3] == struct.pack("<I", 3) + b"png"


def test_refusals(server: http.server.HTTPServer) -> None:
    data = np.zeros((1,), np.float32)
    with pytest.raises(HostError, match="other does not answer: unknown model"):
        client(server.server_port).ask("other", data, ["logits"], timeout_s=60)
    _, (port, *_) = claim_ports("127.0.0.1", 0)
    with pytest.raises(UnavailableError, match="refused"):
        client(port).ask("net", data, ["logits"], timeout_s=60)
