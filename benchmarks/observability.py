"""What an access log and OpenTelemetry spans cost: CPU time of the server, and memory it keeps.

    python benchmarks/observability.py

Three servers of one small network get the same requests in turn: as they are, with an access log,
and with spans of every request to a collector. CPU time is that of the server and its supervisor,
per request, in rounds that alternate; the network runs in another process. Then each gets requests
that Triton refuses before it runs them: what its memory has grown by afterwards is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import os
import statistics
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import spent
import tritonclient.grpc as triton
from recorded import in_words, record
from tritonclient.utils import InferenceServerException

from resnet_convert import convert
from resnet_serve import Server
from resnet_serve.triton.supervision.orders import Policy
from resnet_serve.triton.supervision.tracing.settings import Otlp, Tracing

NAME, SIDE = "resnet20", 32
_TIMEOUT_S = 60


def main() -> None:
    """Measure in rounds and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--calls", type=int, default=800, help="in each round, to each server")
    parser.add_argument("--refused", type=int, default=5000, help="requests that are refused")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        repository = Path(folder) / "models"
        convert(arch=NAME, weights="random", precision="fp32", repository=repository)
        ways = {
            "plain": Tracing(),
            "access log": Tracing(Path(folder) / "access.jsonl"),
            "spans": Tracing(otlp=Otlp(running.enter_context(_collector()))),
        }
        policy = Policy(check_s=0)
        servers = {
            way: running.enter_context(Server(repository, port=0, tracing=each, policy=policy))
            for way, each in ways.items()
        }
        rows = _rounds(servers, options)
        kept = {way: _kept_bytes(server, options.refused) for way, server in servers.items()}
    summary: dict[str, object] = {"what": (__doc__ or "").partition("\n")[0]}
    for way in ways:
        extra = statistics.median(float(str(r["cpu_us"])) for r in rows if r["way"] == way)
        summary[f"{way}: cpu_us"] = round(extra)
        summary[f"{way}: bytes kept of a refused request"] = round(kept[way])
        print(f"{way}: {extra:.0f} µs of CPU time, {kept[way]:.0f} bytes kept of a refused request")
    record("observability", rows, summary)


def _rounds(servers: dict[str, Server], options: argparse.Namespace) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for number in range(options.rounds + 1):  # the first one warms up
        for way, server in servers.items():
            before_s = _cpu_s(server)
            _call(server, np.zeros((1, SIDE, SIDE, 3), np.uint8), options.calls)
            cpu_us = (_cpu_s(server) - before_s) / options.calls * 1e6
            if number:
                rows.append({"round": number, "way": way, "cpu_us": round(cpu_us, 1)})
                print(in_words(rows[-1]))
    return rows


def _call(server: Server, pixels: np.ndarray[Any, Any], calls: int) -> None:
    with triton.InferenceServerClient(server.grpc) as client:
        image = triton.InferInput("image", list(pixels.shape), "UINT8")
        image.set_data_from_numpy(pixels)
        for number in range(calls):
            with contextlib.suppress(InferenceServerException):
                client.infer(NAME, [image], request_id=f"r-{number}", client_timeout=_TIMEOUT_S)


def _kept_bytes(server: Server, calls: int) -> float:
    """Bytes of the server per request of a wrong shape, after as many that are not counted."""
    wrong = np.zeros((1, 1, 1, 3), np.uint8)
    _call(server, wrong, calls)
    before = _resident_bytes(server.status.server_pid)
    _call(server, wrong, calls)
    return (_resident_bytes(server.status.server_pid) - before) / calls


def _cpu_s(server: Server) -> float:
    """User and system time so far of a server and its supervisor."""
    pid = server.status.server_pid
    supervisor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return spent.of_process(pid) + spent.of_process(supervisor)


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def _collector() -> Iterator[str]:
    """The address of a collector that drops what it gets."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_port}/v1/traces"
        listener.shutdown()


if __name__ == "__main__":
    main()
