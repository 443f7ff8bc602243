"""The benchmark of other servers: its client, its processes, its search and its page.

No peer is installed here. The client asks small servers of the test, and the numbers are given.
"""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from peers import load, page, results, rounds, search
from peers.kept import Kept
from peers.measured import BrokenPeerError, check, free_ports, measured, wait
from peers.peer import GRPC, HTTP, JPEG, NETWORK, SERVICES, TENSOR, WORKLOADS, Configuration, space
from peers.processes import Started, host_cpu_s, spent_s
from peers.search import Entry
from peers.servers import OURS, PEERS
from PIL import Image
from tritonclient.grpc import service_pb2, service_pb2_grpc

from resnet_serve.datasets.synthetic import SyntheticImages
from resnet_serve.preprocessing import Preprocessing

OVER_GRPC, OVER_HTTP = OURS[GRPC], OURS[HTTP]

# --- the client ----------------------------------------------------------------------------------


class _Echo(BaseHTTPRequestHandler):
    """Returns what it got; a body that starts with ! is refused, one with ~ comes in chunks."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503 if body.startswith(b"!") else 200)
        if body.startswith(b"~"):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (body[:3], body[3:], b""):
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the screen."""


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def http(port: int, *bodies: bytes) -> load.Http:
    return load.Http(
        port, [load.post("/predict", body, "application/octet-stream") for body in bodies]
    )


@pytest.mark.parametrize("body", [b"", b"four", b"~in chunks", bytes(150528)], ids=len)
def test_the_body_of_a_response_is_whole(echo: int, body: bytes) -> None:
    assert load.once(http(echo, body)) == body


def test_a_run_counts_every_request_and_keeps_connections(echo: int) -> None:
    done = load.run(http(echo, b"a", b"bb"), in_flight=3, seconds=0.3)
    assert len(done.latencies_ms) > 3
    assert done.seconds >= 0.3
    assert done.per_s == pytest.approx(len(done.latencies_ms) / done.seconds)
    assert 0 < done.percentile(50) <= done.percentile(99)
    assert 0 < done.client_cpu_s <= done.seconds


def test_a_refusal_is_no_response(echo: int) -> None:
    """A server that refuses fast is not a fast server."""
    with pytest.raises(RuntimeError, match="503"):
        load.run(http(echo, b"fine", b"!no"), in_flight=2, seconds=0.2)


@pytest.mark.parametrize(
    ("workload", "model", "given"),
    [(TENSOR, "resnet50", b"pixels"), (JPEG, "resnet50_image", b"\x06\0\0\0pixels")],
)
def test_triton_gets_its_input_behind_the_json(workload: str, model: str, given: bytes) -> None:
    (request,) = PEERS[OVER_HTTP].load(1, workload, [b"pixels"]).requests
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    fields = dict(line.split(": ") for line in lines)
    length = int(fields["Inference-Header-Content-Length"])
    assert first == f"POST /v2/models/{model}/infer HTTP/1.1"
    assert int(fields["Content-Length"]) == len(body)
    assert body[length:] == given
    (tensor,) = json.loads(body[:length])["inputs"]
    assert tensor["parameters"] == {"binary_data_size": len(given)}


class _Infer(service_pb2_grpc.GRPCInferenceServiceServicer):
    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        if request.model_name == "none":
            context.abort(grpc.StatusCode.UNAVAILABLE, "the queue is full")
        return service_pb2.ModelInferResponse(raw_output_contents=[request.raw_input_contents[0]])


def test_grpc_sends_tensors_and_files_and_sees_refusals() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Infer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        pixels, file = bytes(load.SIDE**2 * 3), b"\xff\xd8jpeg"
        sent = load.Grpc(port, [load.tensor_request("a", pixels), load.bytes_request("a", file)])
        assert load.once(sent, 0) == pixels
        assert load.once(sent, 1) == (6).to_bytes(4, "little") + file
        with pytest.raises(RuntimeError, match="the queue is full"):
            load.run(load.Grpc(port, [load.tensor_request("none", pixels)]), 2, 0.1)
    finally:
        server.stop(None)


# --- processes -----------------------------------------------------------------------------------

DAEMON = """
import os, subprocess, sys, time
child = "import time; block = bytearray(64 << 20); [0 for _ in range(3_000_000)]; time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
time.sleep(600)
"""


def test_processes_that_left_are_counted_and_ended(tmp_path: Path) -> None:
    """Ray's daemons and Triton's stubs have sessions of their own."""
    command = [sys.executable, "-c", DAEMON]
    with Started(command, dict(os.environ), tmp_path, tmp_path / "log") as server:
        until = time.monotonic() + 20
        while server.pss_mib() < 64 and time.monotonic() < until:
            time.sleep(0.05)
        pids = server.pids()
        assert len(pids) == 2
        assert server.pss_mib() > 64
        assert spent_s({}, server.cpu_s()) > 0
        server.check()
        server.end(patience_s=0.2)
        assert server.pids() == []
    for pid in pids:
        assert not Path(f"/proc/{pid}/exe").exists()


def test_a_server_that_ends_is_said_with_its_last_words(tmp_path: Path, echo: int) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    with Started(command, dict(os.environ), tmp_path, tmp_path / "log") as server:
        closed = http(free_ports(1), b"x")
        with pytest.raises(BrokenPeerError, match="no such model"):
            wait(server, closed, 20)


def test_the_cpu_time_of_a_process_that_ended_is_not_negative() -> None:
    assert spent_s({1: 5.0, 2: 1.0}, {2: 1.5, 3: 0.25}) == pytest.approx(0.75)


def test_what_others_used_is_seen(echo: int, tmp_path: Path) -> None:
    """Neither the server nor the client: this process serves the echo, and counts as the client."""
    busy = [sys.executable, "-c", "while True: pass"]
    with Started([sys.executable, "-c", "import time; time.sleep(60)"], dict(os.environ), tmp_path,
                 tmp_path / "log") as server:  # fmt: skip
        other = subprocess.Popen(busy)
        try:
            found = measured(server, http(echo, b"x"), 1, 0.5, ("p", "c", TENSOR))
        finally:
            other.send_signal(signal.SIGKILL)
            other.wait()
    assert found.others > 0.05
    assert found.images > 0
    assert host_cpu_s() > 0


def test_ports_are_consecutive_and_free() -> None:
    first = free_ports(3)
    for port in range(first, first + 3):
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", port))


# --- what peers are ------------------------------------------------------------------------------


def test_every_peer_gets_the_same_candidates_and_ours_gets_one() -> None:
    searched = [peer for peer in PEERS.values() if len(peer.space(2)) > 1]
    assert len(searched) >= 3
    assert all(peer.space(2) == space(2) for peer in searched)
    assert len({str(each) for each in space(2)}) == len(space(2)) == 4
    assert all(len(PEERS[name].space(2)) == 1 for name in OURS.values())


def test_every_peer_is_pinned_and_has_a_service_and_a_strength() -> None:
    for name, peer in PEERS.items():
        if name in OURS.values():
            assert peer.lines() == 0
            continue
        assert set(NETWORK) <= set(peer.requirements)
        assert sum("==" in each for each in peer.requirements) > len(NETWORK)
        assert (SERVICES / peer.service).is_file()
        assert 15 < peer.lines() < 80
        assert peer.better and peer.note
        sent = peer.load(1, TENSOR, [bytes(load.SIDE**2 * 3)])
        assert len(sent.requests) == 1


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SERVICES))
    import network

    return network


def test_the_services_see_the_pixels_that_ours_sees(network: Any) -> None:
    picture = SyntheticImages(1, side=400).image(0).crop((0, 0, 400, 300))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95)
    decoded = Image.open(io.BytesIO(file.getvalue()))
    theirs, ours = network.pixels_of(file.getvalue()), Preprocessing().pixels(decoded)
    assert theirs.shape == ours.shape == (224, 224, 3)
    assert np.abs(theirs.astype(int) - ours).mean() < 2
    assert (network.pixels_of(ours.tobytes()) == ours).all()


def test_the_services_name_the_five_best(network: Any) -> None:
    logits = np.arange(10, dtype=np.float32)
    found = network.best(logits, [f"class {index}" for index in range(10)])
    assert [name for name, _ in found] == [f"class {index}" for index in (9, 8, 7, 6, 5)]
    assert found[0][1] == pytest.approx(np.exp(9) / np.exp(logits).sum())


class _Model:
    def __init__(self, folder: Path) -> None:
        self.labels = folder / "labels.txt"
        self.labels.write_text("\n".join(f"class_{index:04}" for index in range(1000)))
        self.expected = {"onnxruntime": np.random.default_rng(0).normal(size=1000)}


def test_a_server_of_another_network_is_broken(tmp_path: Path) -> None:
    model: Any = _Model(tmp_path)
    logits = model.expected["onnxruntime"].astype(np.float32)
    check(PEERS[OVER_GRPC], TENSOR, (logits * 1.001).tobytes(), model)
    behind = json.dumps({"outputs": [{"name": "logits"}]}).encode() + logits.tobytes()
    check(PEERS[OVER_HTTP], TENSOR, behind, model)
    with pytest.raises(BrokenPeerError, match="not those of the network"):
        check(PEERS[OVER_GRPC], TENSOR, logits[::-1].tobytes(), model)
    top = [[f"class_{index:04}", 0.1] for index in range(5)]
    check(PEERS[OVER_GRPC], JPEG, json.dumps(top).encode(), model)
    coded = json.dumps([base64.b64encode(logits.tobytes()).decode()]).encode()
    check(PEERS["bentoml"], TENSOR, coded, model)
    with pytest.raises(BrokenPeerError, match="no five labels"):
        check(PEERS[OVER_GRPC], JPEG, json.dumps(top[:4]).encode(), model)


# --- search and rounds ---------------------------------------------------------------------------

A, B = Configuration("onnxruntime", 1, 2), Configuration("openvino", 1, 2, batch=8, delay_ms=1.0)


def tried(configuration: Configuration, alone: float, busy: float) -> list[dict[str, object]]:
    named = {"peer": "litserve", "configuration": str(configuration)}
    row = {**named, "p50_ms": 1.0, "others": 0.0}
    return [
        {**row, "in_flight": 1, "images_per_s": alone},
        {**row, "in_flight": 16, "images_per_s": busy},
    ]


def test_the_best_alone_and_the_best_under_load_are_both_measured(tmp_path: Path) -> None:
    kept, peer = Kept(tmp_path / "rows.jsonl"), PEERS["litserve"]
    assert search.entries(peer, kept) == []
    kept.add("search", tried(A, 50, 60))
    disturbed = [{**row, "others": 0.5} for row in tried(B, 900, 900)]
    kept.add("search", disturbed)
    assert B in search.missing(peer, kept), "it was measured beside other tasks"
    assert search.entries(peer, kept) == [Entry(peer, A, (1, 16))]
    kept.add("search", tried(B, 40, 90))
    assert search.entries(peer, kept) == [Entry(peer, A, (1,)), Entry(peer, B, (16,))]
    kept.add("search", tried(B, 46, 90))
    assert search.entries(peer, kept)[1] == Entry(peer, B, (1, 16)), "nearly as fast"
    left = search.missing(peer, kept)
    assert len(left) == 2 and A not in left and B not in left


def test_a_candidate_that_failed_is_not_tried_again(tmp_path: Path) -> None:
    kept, peer = Kept(tmp_path / "rows.jsonl"), PEERS["litserve"]
    failed = {"peer": "litserve", "configuration": str(A), "failed": "no module"}
    kept.add("search", [failed])
    assert A not in search.missing(peer, kept)
    kept.add("search", tried(B, 40, 90))
    assert search.entries(peer, kept) == [Entry(peer, B, (1, 16))]


def test_rounds_go_on_where_they_were_and_take_turns(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "rows.jsonl")
    entries = [
        Entry(PEERS[OVER_GRPC], A, (1, 16)),
        *(Entry(PEERS["litserve"], each, (1,)) for each in (A, B)),
    ]
    every = list(rounds.turns(entries, kept, 2))
    loads = len(rounds.IN_FLIGHT) * len(WORKLOADS)
    assert [turn.number for turn in every] == [1] * 3 * loads + [2] * 3 * loads
    assert {turn.entry for turn in every[:3]} == {*entries}, "a load is everyone's at once"
    assert len({(turn.workload, turn.in_flight) for turn in every[:3]}) == 1
    assert every[0].entry != every[3 * loads].entry
    kept.add("round", [every[0].key])
    with kept.path.open("a") as file:
        file.write('{"kind": "round", "round": 2, "peer": "cut')
    assert list(rounds.turns(entries, kept, 2)) == every[1:]


TICKS = """
import pathlib, time
place = pathlib.Path("ticks")
while True:
    place.write_text(str(time.monotonic()))
    time.sleep(0.01)
"""


def test_a_server_is_paused_and_goes_on(tmp_path: Path) -> None:
    ticks = tmp_path / "ticks"
    command = [sys.executable, "-c", TICKS]
    with Started(command, dict(os.environ), tmp_path, tmp_path / "log") as server:
        until = time.monotonic() + 20
        while not ticks.exists() and time.monotonic() < until:
            time.sleep(0.05)
        server.pause()
        (pid,) = server.pids()
        stat = Path(f"/proc/{pid}/stat")
        while stat.read_text().split()[2] != "T" and time.monotonic() < until:
            time.sleep(0.01)
        before = ticks.read_text()
        time.sleep(0.1)
        assert ticks.read_text() == before
        server.resume()
        while ticks.read_text() in ("", before) and time.monotonic() < until:
            time.sleep(0.05)
        assert ticks.read_text() != before
        server.pause()
        server.end(patience_s=60)  # and a paused one ends when it is asked to: it is not killed
        assert server._process is not None and server._process.returncode == -signal.SIGTERM


def test_a_server_is_started_for_its_first_turn_and_paused_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    class _Server:
        def pause(self) -> None:
            seen.append("paused")

        def resume(self) -> None:
            seen.append("resumed")

    class _Ready:
        server = _Server()

        def measured(self, workload: str, in_flight: int, seconds: float) -> str:
            seen.append(f"{workload} {in_flight}")
            if in_flight == 4:
                raise RuntimeError("it refused")
            return "level"

    @contextmanager
    def started(*_: object) -> Iterator[_Ready]:
        seen.append("started")
        yield _Ready()
        seen.append("ended")

    monkeypatch.setattr(rounds, "started", started)
    entry = Entry(PEERS[OVER_GRPC], A, (1, 16))
    model: Any = None
    with rounds.Servers(model) as servers:
        assert servers.measured(rounds.Turn(1, TENSOR, 1, entry), 0.1) == "level"
        with pytest.raises(RuntimeError, match="it refused"):
            servers.measured(rounds.Turn(1, TENSOR, 4, entry), 0.1)
    assert seen == ["started", "tensor 1", "paused", "resumed", "tensor 4", "paused", "ended"]


# --- results -------------------------------------------------------------------------------------


def level(peer: str, number: int, in_flight: int, per_s: float, **more: object) -> dict[str, Any]:
    return {
        "round": number, "best_at": "1", "peer": peer, "configuration": "c", "workload": TENSOR,
        "in_flight": in_flight, "images_per_s": per_s, "p50_ms": 1.0, "p99_ms": 2.0,
        "cpu_ms": 3.0, "client_cpu_ms": 0.5, "pss_mib": 100.0, "images": 50, "others": 0.0,
        "latencies_ms": [1.0] * 98 + [3.0] * 2, **more,
    }  # fmt: skip


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Ours is 2 × as fast with one in flight, and 0.8 × with sixteen."""
    made = Kept(tmp_path / "rows.jsonl")
    for number, drift in ((1, 1.0), (2, 0.7), (3, 0.5)):
        for peer, rates in ((OVER_HTTP, (100, 80)), ("litserve", (50, 100))):
            rows = [
                level(peer, number, n, rate * drift) for n, rate in zip((1, 16), rates, strict=True)
            ]
            made.add("round", rows)
        made.add("round", [level("litserve", number, 1, 10, configuration="worse")])
    made.add("round", [level("litserve", 4, 1, 5000, others=0.5)])
    made.add("round", [level("litserve", 4, 1, 90, configuration="disturbed", others=0.4)])
    made.add("failed", [{"peer": "bentoml", "failed": "no wheel"}])
    return made


def test_ratios_are_of_rounds_and_disturbed_loads_are_left_out(kept: Kept) -> None:
    found = results.summary(kept)
    best = {(row["peer"], row["in_flight"]): row for row in found["best"]}
    row = best["litserve", 1]
    assert row["configuration"] == "c"
    assert row["ours_over_it"]["median"] == pytest.approx(2)
    assert best["litserve", 16]["ours_over_it"]["median"] == pytest.approx(0.8)
    assert best[OVER_HTTP, 1]["ours_over_it"] is None
    assert row["images_per_s_interval"] == (25, 50)
    assert (row["p50_ms"], row["p99_ms"]) == (1, 3), "of all latencies of the rounds"
    assert found["loads_not_counted"] == 2
    assert found["never_counted"] == [("litserve", "disturbed")]
    assert found["failed"]["bentoml"] == "no wheel"
    assert found["failed"]["torchserve"] == "left out of this run"
    assert found["peers"]["litserve"]["lines"] > 15


def test_the_page_says_where_another_was_faster(kept: Kept, tmp_path: Path) -> None:
    host = {"cores": 2, "processor": "a CPU", "instruction_sets": ["AVX2"]}
    facts = {**results.summary(kept), "taken": "2026-11-27T10:00:00+00:00", "host": host}
    path = tmp_path / "serving-peers-2026-11-27.json"
    path.write_text(json.dumps(facts))
    text = page.text(tmp_path)
    faster = text.partition("## Where another server was faster")[2].partition("##")[0]
    assert "LitServe, tensor, 16 in flight" in faster
    assert "1.25×" in faster
    assert "1 in flight: " not in faster.replace("16 in flight", "")
    assert "BentoML: no wheel" in text
    assert "2 of 17 loads were left out" in " ".join(text.split())


@pytest.mark.parametrize(
    ("median", "low", "high", "rounds", "said"),
    [
        (2.0, 1.5, 2.5, 3, ""),
        (None, 1.1, 1.9, 3, ""),
        (0.8, 0.7, 0.9, 3, "1.25× as many images as resnet-serve"),
        (0.8, 0.7, 1.1, 3, "1.25× as many images as resnet-serve, not with certainty"),
        (0.8, 0.7, 0.9, 2, "1.25× as many images as resnet-serve, not with certainty"),
        (None, 0.5, 0.8, 3, "1.25× to 2.00× as many images as resnet-serve (95 % interval)"),
        (None, 0.5, 2.0, 3, "0.50× to 2.00× as many images as resnet-serve (95 % interval)"),
    ],
)  # fmt: skip
def test_a_ratio_that_is_not_stated_hides_no_faster_server(
    median: float | None, low: float, high: float, rounds: int, said: str
) -> None:
    ratio = {"median": median, "low": low, "high": high}
    assert page._how_faster({"ours_over_it": ratio, "rounds": rounds}) == said


def test_plots_have_a_bar_for_every_load(kept: Kept) -> None:
    text = results.plot(results.summary(kept), TENSOR)
    assert text.startswith("<svg")
    for label in ("35.0 at 1", "70.0 at 1", "LitServe", "resnet-serve"):
        assert label in text


RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


@pytest.mark.skipif(not list(RESULTS.glob("serving-peers-*.json")), reason="nothing measured yet")
def test_the_page_is_the_one_that_the_results_give() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.text(RESULTS)
