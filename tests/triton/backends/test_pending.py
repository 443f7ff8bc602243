"""Pending requests: read from a page of metrics, and what is known without one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest

from resnet_serve.triton.backends.pending import METRICS_VARIABLE, Pending, parsed

PAGE = b"""# HELP nv_inference_pending_request_count Instantaneous number of pending requests
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="net",version="1"} 5
nv_inference_pending_request_count{model="net.canary-2",version="12",region="eu"} 0
nv_inference_request_success{model="net",version="1"} 99
"""
COUNTS = {("net", "1"): 5, ("net.canary-2", "12"): 0}


@contextmanager
def served(*, closes: bool) -> Iterator[tuple[str, list[int]]]:
    """A server of the page that keeps connections or closes each; its clients' ports."""
    clients: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            clients.append(self.client_address[1])
            self.send_response(200)
            self.send_header("Content-Length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE)
            self.close_connection = closes  # without a word, as a server that was idle does

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", clients
        finally:
            server.shutdown()
            thread.join()


def test_a_page_has_a_count_for_every_model_and_version() -> None:
    assert parsed(PAGE) == COUNTS
    assert parsed(b"") == {}


def test_the_connection_is_kept() -> None:
    with served(closes=False) as (address, clients):
        pending = Pending(address)
        assert [pending.counts() for _ in range(3)] == [COUNTS] * 3
        pending.close()
    assert len(clients) == 3
    assert len(set(clients)) == 1


def test_a_connection_that_was_closed_is_opened_again() -> None:
    with served(closes=True) as (address, clients):
        pending = Pending(address)
        assert [pending.counts() for _ in range(3)] == [COUNTS] * 3
        pending.close()
    assert len(set(clients)) == 3


def test_what_was_read_just_now_is_not_read_again() -> None:
    now = 0.0
    with served(closes=False) as (address, clients):
        pending = Pending(address, clock=lambda: now)
        assert pending.counts(max_age_s=1.0) == COUNTS
        now = 0.5
        assert pending.counts(max_age_s=1.0) == COUNTS
        assert len(clients) == 1
        assert pending.counts() == COUNTS
        now = 2.0
        assert pending.counts(max_age_s=1.0) == COUNTS
        pending.close()
    assert len(clients) == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\n\r\nof no length",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
def test_of_another_server_nothing_is_known(answer: bytes) -> None:
    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            assert Pending(f"127.0.0.1:{server.server_address[1]}").counts() is None
        finally:
            server.shutdown()
            thread.join()


def test_without_metrics_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(METRICS_VARIABLE, raising=False)
    assert Pending().counts() is None
    assert Pending("").counts() is None
    with served(closes=True) as (address, _):
        pass
    assert Pending(address).counts() is None
