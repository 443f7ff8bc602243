"""Spans of the real server at a collector: OTLP over HTTP, as JSON, received by the test."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from patience import PATIENCE_S
from toy_repository import deploy_toy

from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.health.probe import PNG
from resnet_serve.triton.supervision.orders import Policy
from resnet_serve.triton.supervision.tracing.settings import Otlp, Tracing

pytestmark = pytest.mark.triton

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Any]]]:
    """The address of a collector, and what it has received."""
    received: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, json.loads(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_port}/v1/traces", received
        listener.shutdown()


def send(server: Server, *requests: tuple[str, dict[str, str]]) -> None:
    """An image for each request id, with headers."""
    with triton.InferenceServerClient(server.grpc) as client:
        for request_id, headers in requests:
            given = triton.InferInput("image", [1, 1], "BYTES")
            given.set_data_from_numpy(np.array([[PNG]], object))
            client.infer(
                "toy_image",
                [given],
                request_id=request_id,
                headers=headers,
                client_timeout=PATIENCE_S,
            )


def attributes(of: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in of.get("attributes", [])}


def test_a_request_is_a_tree_of_spans(collector: tuple[str, list[Any]], tmp_path: Path) -> None:
    url, received = collector
    tracing = Tracing(otlp=Otlp(url, rate=0))
    with Server(
        deploy_toy(tmp_path / "models"), port=0, tracing=tracing, policy=Policy(check_s=0)
    ) as server:
        marked = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        send(server, ("unmarked", {}), ("marked", marked), ("unmarked too", {}))
    assert {path for path, _ in received} == {"/v1/traces"}
    resources = [each for _, body in received for each in body["resourceSpans"]]
    assert {attributes(each["resource"])["service.name"] for each in resources} == {"resnet-serve"}
    spans = [span for each in resources for scope in each["scopeSpans"] for span in scope["spans"]]
    assert {span["traceId"] for span in spans} == {TRACE}, "rate 0: those with a traceparent"
    named = {attributes(span).get("triton.model_name"): span for span in spans}
    assert {"toy_image", "toy_preprocess", "toy"} <= set(named)
    by_id = {span["spanId"]: span for span in spans}
    assert attributes(named["toy"])["triton.request_id"] == "marked"
    above = named["toy"]
    while above["parentSpanId"] in by_id:
        above = by_id[above["parentSpanId"]]
    assert above["parentSpanId"] == PARENT, "the client's own span is the root"


@pytest.mark.slow
def test_a_collector_that_is_gone_costs_no_request(tmp_path: Path) -> None:
    tracing = Tracing(otlp=Otlp("http://127.0.0.1:9/v1/traces"))
    with Server(deploy_toy(tmp_path / "models"), port=0, tracing=tracing) as server:
        send(server, *[("", {})] * 5)
        assert server.status.restarts == 0
