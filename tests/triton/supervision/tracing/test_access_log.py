"""The access log of the real server: a line for every request, with what came of it."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from patience import PATIENCE_S, until
from prometheus_text import scrape
from toy_repository import SIDE, deploy_toy, toy_model
from tritonclient.utils import InferenceServerException

from resnet_client import Classifier
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.endpoints import claim_ports
from resnet_serve.triton.supervision.health.probe import PNG, REQUEST_ID, Probe
from resnet_serve.triton.supervision.orders import Policy
from resnet_serve.triton.supervision.tracing import access_log
from resnet_serve.triton.supervision.tracing.access_log import AccessLog
from resnet_serve.triton.supervision.tracing.settings import Tracing

QUEUE = """dynamic_batching { default_queue_policy {
  max_queue_size: 1 timeout_action: REJECT default_timeout_microseconds: 60000000
  allow_timeout_override: true } }
"""


class Logged:
    """A server whose requests are logged."""

    def __init__(self, server: Server, log: Path) -> None:
        self.server = server
        self._log = log

    def image(self, data: bytes, request_id: str = "", **options: Any) -> str:
        given = triton.InferInput("image", [1, 1], "BYTES")
        given.set_data_from_numpy(np.array([[data]], object))
        return self._infer("toy_image", given, request_id, **options)

    def pixels(self, request_id: str = "", **options: Any) -> str:
        given = triton.InferInput("image", [1, SIDE, SIDE, 3], "UINT8")
        given.set_data_from_numpy(np.zeros((1, SIDE, SIDE, 3), np.uint8))
        return self._infer("toy", given, request_id, **options)

    def _infer(self, model: str, given: Any, request_id: str, **options: Any) -> str:
        with triton.InferenceServerClient(self.server.grpc) as client:
            try:
                client.infer(
                    model, [given], request_id=request_id, client_timeout=PATIENCE_S, **options
                )
            except InferenceServerException as error:
                message = str(error.message())
                return "queue_full" if "queue size" in message else message
        return "computed"

    def lines(self) -> list[dict[str, Any]]:
        text = self._log.read_text() if self._log.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def line(self, request_id: str | None) -> dict[str, Any]:
        """The one line of this request."""
        assert until(lambda: any(line["request_id"] == request_id for line in self.lines()))
        (found,) = (line for line in self.lines() if line["request_id"] == request_id)
        return found


@pytest.fixture(scope="module")
def status_port() -> int:
    return claim_ports("127.0.0.1", 0)[1][0]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory, status_port: int) -> Iterator[Logged]:
    folder = tmp_path_factory.mktemp("logged")
    repository = deploy_toy(folder / "models")
    (repository / "toy/1/model.onnx").write_bytes(toy_model(hidden=8192))
    config = repository / "toy/config.pbtxt"
    kept = config.read_text()
    start = kept.index("dynamic_batching {")
    end = kept.index("}", start) + 1
    config.write_text(kept[:start] + QUEUE + kept[end:])
    with Server(
        repository,
        port=0,
        status_port=status_port,
        policy=Policy(quick_s=0, check_s=0),
        tracing=Tracing(folder / "log/access.jsonl"),
    ) as server:
        yield Logged(server, folder / "log/access.jsonl")


@pytest.mark.triton
def test_an_image_and_a_tensor(logged: Logged) -> None:
    assert logged.image(PNG, "mine") == "computed"
    line = logged.line("mine")
    assert (line["model"], line["version"], line["protocol"]) == ("toy_image", 1, "grpc")
    assert line["status"] == "computed"
    assert [step["model"] for step in line["steps"]] == ["toy_preprocess", "toy"]
    assert 0 < line["compute_us"] <= line["total_us"]
    assert line["queue_us"] >= 0
    assert logged.pixels("yours") == "computed"
    line = logged.line("yours")
    assert (line["model"], line["status"], "steps" in line) == ("toy", "computed", False)
    assert 0 < line["compute_us"] < line["total_us"]


@pytest.mark.triton
def test_a_file_that_is_no_image_failed_at_the_first_step(logged: Logged) -> None:
    assert "not an image" in logged.image(b"none", "broken")
    line = logged.line("broken")
    assert (line["status"], [step["model"] for step in line["steps"]]) == (
        "failed",
        ["toy_preprocess"],
    )


@pytest.mark.triton
def test_requests_without_an_id_and_our_own(logged: Logged) -> None:
    assert logged.pixels() == "computed"
    assert logged.line(None)["model"] == "toy"
    endpoints = logged.server.endpoints
    assert Probe(endpoints.host, endpoints.http_port).ask("toy_image").healthy
    assert logged.line(REQUEST_ID)["protocol"] == "http"


@pytest.mark.triton
def test_our_clients_name_their_requests(logged: Logged) -> None:
    with Classifier(logged.server.grpc, "toy", decode="server", probabilities=False) as classifier:
        assert len(classifier.classify(PNG, top=1, request_id="order-17")) == 1
        assert logged.line("order-17")["model"] == "toy_image"
        results = classifier.classify_many([PNG] * 3, 1, 1, concurrency=1, request_id="job")
        assert all(result.error is None for result in results)
        for number in (1, 2, 3):
            assert logged.line(f"job-{number}")["status"] == "computed"
        before = {line["request_id"] for line in logged.lines()}
        for _ in range(2):
            classifier.classify(PNG, top=1)

    def fresh() -> set[str]:
        return {line["request_id"] for line in logged.lines()} - before

    assert until(lambda: len(fresh()) == 2), "those without an id get one of their own"
    assert len({name.rpartition("-")[0] for name in fresh()}) == 1


@pytest.mark.triton
def test_rejected_requests_are_logged_and_counted_one_by_one(
    logged: Logged, status_port: int
) -> None:
    name = 'resnet_serve_requests_total{model="toy",status="queue_full"}'
    before = scrape(f"127.0.0.1:{status_port}").get(name, 0)
    with ThreadPoolExecutor(12) as threads:
        outcomes = list(threads.map(lambda index: logged.pixels(f"all-{index}"), range(60)))
    assert set(outcomes) == {"computed", "queue_full"}

    def mine() -> dict[str, str]:
        lines = [line for line in logged.lines() if (line["request_id"] or "").startswith("all-")]
        return {line["request_id"]: line["status"] for line in lines}

    assert until(lambda: len(mine()) == 60)
    assert [mine()[f"all-{index}"] for index in range(60)] == outcomes
    assert scrape(f"127.0.0.1:{status_port}")[name] - before == Counter(outcomes)["queue_full"]


@pytest.mark.triton
def test_a_request_id_that_forges_a_line(logged: Logged) -> None:
    forged = 'x"},{"id":9,"model_name":"admin","model_version":1,"request_id":"forged'
    count = len(logged.lines())
    assert logged.pixels(forged) == "computed"
    assert until(lambda: len(logged.lines()) > count)
    assert logged.lines()[-1]["status"] == "unreadable"
    assert not [line for line in logged.lines() if line.get("model") == "admin"]


@pytest.mark.triton
def test_it_goes_on_after_a_crash_and_leaves_nothing(logged: Logged) -> None:
    assert logged.pixels("before") == "computed"
    logged.line("before")
    before = logged.server.status
    os.kill(before.server_pid, signal.SIGKILL)
    again = ("serving", before.restarts + 1)
    assert until(lambda: (logged.server.status.state, logged.server.status.restarts) == again)
    assert logged.pixels("after") == "computed"
    assert logged.line("after")["status"] == "computed"
    assert until(lambda: not list(logged.server.beside.parent.glob("requests/*")))


def traced(number: int, name: str = "net") -> str:
    return (
        f'[{{"id":{number},"model_name":"{name}","model_version":1,"request_id":"{number}"}},'
        f'{{"id":{number},"timestamps":[{{"name":"COMPUTE_START","ns":1}}]}}]'
    )


def test_files_are_read_in_their_order_and_removed(tmp_path: Path) -> None:
    written: list[str] = []
    for number in (11, 9, 10):
        (tmp_path / f"request.{number}").write_text(traced(number))
    log = AccessLog(tmp_path, written.append, lambda *_: 0)
    log.close()
    lines = [json.loads(line) for text in written for line in text.splitlines()]
    assert [line["request_id"] for line in lines] == ["9", "10", "11"]
    assert list(tmp_path.iterdir()) == []
    assert log.counts == {("net", "computed"): 3}


def test_a_file_that_is_still_written_waits(tmp_path: Path) -> None:
    written: list[str] = []
    log = AccessLog(tmp_path, written.append, lambda *_: 0)
    text = traced(1)
    (tmp_path / "request.0").write_text(text[:40])
    (tmp_path / "request.1").write_text(traced(2))
    assert until(lambda: not (tmp_path / "request.1").exists())
    assert (tmp_path / "request.0").exists()
    (tmp_path / "request.0").write_text(text)
    log.close()
    assert Counter(json.loads(line)["status"] for line in written) == {"computed": 2}


def test_what_nobody_has_read_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "MOST_WAITING", 5)
    for number in range(12):
        (tmp_path / f"request.{number}").write_text(traced(number))
    written: list[str] = []
    AccessLog(tmp_path, written.append, lambda *_: 0).close()
    lines = [json.loads(line) for text in written for line in text.splitlines()]
    assert (lines[0]["status"], lines[0]["requests"]) == ("left_out", 7)
    assert [line["request_id"] for line in lines[1:]] == ["7", "8", "9", "10", "11"]


def test_a_name_that_the_server_does_not_have_is_not_counted(tmp_path: Path) -> None:
    log = AccessLog(tmp_path, lambda _: None, lambda *_: None)
    (tmp_path / "request.0").write_text(traced(1, "anything"))
    log.close()
    assert not log.counts
