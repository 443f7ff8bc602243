"""`verify --watch`: a change between two rounds is seen in the next, and no failure ends it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import versioned
from in_process import command
from patience import PATIENCE_S, until
from prometheus_text import documented_metrics, samples, scrape
from serve_command import environment

from resnet_serve import prometheus
from resnet_serve.errors import HostError, ParityError
from resnet_serve.parity import accuracy, numerics
from resnet_serve.triton.grpc_client import GrpcClient
from resnet_serve.triton.repository import Repository, changes
from resnet_serve.triton.repository.examples import Examples
from resnet_serve.triton.repository.versions import Deployed
from resnet_serve.triton.rollout.admin import Admin
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.orders import Policy
from resnet_serve.verification.reference import recorded
from resnet_serve.verification.served import Measured
from resnet_serve.verification.watch import Round, Tally, Watch


def measured(*rows: tuple[float, float]) -> Measured:
    """The outputs of images of class 0; the reference is sure of them."""
    expected = np.array([(9.0, 0.0)] * len(rows), np.float32)
    found = np.array(rows, np.float32)
    decisions = accuracy.decide(expected, found)
    names = tuple(f"image {index}" for index in decisions.changed)
    return Measured(numerics.compare(expected, found), decisions, names)


GOOD = Round(100.0, "ok", "net", 1, {"net": measured((9, 0), (9, 0))})
FLIPPED = Round(
    160.0,
    "missed",
    "net",
    1,
    {"net": measured((9, 0), (0, 9)), "net_image": measured((9, 0), (9, 1))},
    "pixels: 2 of 2 images differ",
)
GONE = Round(220.0, "failed", "net", said="no server answers")


def test_a_round_is_one_line() -> None:
    assert str(GOOD) == (
        "1970-01-01T00:01:40Z  ok      net 1  agreement 100.00 %  cosine 1.00000, max |Δ| 0"
        "  0 flipped"
    )
    assert str(FLIPPED) == (
        "1970-01-01T00:02:40Z  missed  net 1  agreement 50.00 %  cosine 0.00000, max |Δ| 9"
        "  1 flipped: image 1  pixels: 2 of 2 images differ"
    )
    assert str(GONE) == "1970-01-01T00:03:40Z  failed  net  no server answers"
    infinite = Round(1.0, "missed", "net", 1, {"net": measured((np.inf, 0))})
    written = json.dumps(infinite.to_json(), allow_nan=False)
    assert json.loads(written)["max_abs"] is None


def test_what_the_rounds_come_to() -> None:
    tally = Tally()
    tally.require()
    tally = tally.plus(GOOD)
    tally.require()
    tally = tally.plus(GONE)
    with pytest.raises(HostError):
        tally.require()
    tally = tally.plus(FLIPPED).plus(GONE)
    with pytest.raises(ParityError):
        tally.require()
    assert str(tally) == "4 rounds: 1 ok, 1 missed, 2 failed; lowest agreement 50.00 %"
    found = samples(prometheus.text(tally.families()))
    of = '{model="net",version="1"}'
    assert found == {
        'resnet_serve_verify_rounds_total{outcome="ok"}': 1,
        'resnet_serve_verify_rounds_total{outcome="missed"}': 1,
        'resnet_serve_verify_rounds_total{outcome="failed"}': 2,
        "resnet_serve_verify_ok": 0,
        "resnet_serve_verify_last_round_timestamp_seconds": 220,
        "resnet_serve_verify_last_success_timestamp_seconds": 100,
        f"resnet_serve_verify_agreement{of}": 0.5,
        'resnet_serve_verify_agreement{model="net_image",version="1"}': 1,
        f"resnet_serve_verify_flipped_images{of}": 1,
        'resnet_serve_verify_flipped_images{model="net_image",version="1"}': 0,
        f"resnet_serve_verify_cosine{of}": 0,
        'resnet_serve_verify_cosine{model="net_image",version="1"}': pytest.approx(
            0.9939, abs=1e-3
        ),
        f"resnet_serve_verify_distance{of}": 9,
        'resnet_serve_verify_distance{model="net_image",version="1"}': 1,
    }
    assert {name.partition("{")[0] for name in found} == documented_metrics()["verify --watch"]
    assert len(samples(prometheus.text(Tally().families()))) == 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("watched") / "models"
    versioned.deploy(Repository(path))
    with Server(path, port=0, drain_s=0, policy=Policy(quick_s=0)) as started:
        yield started


def swap_model(server: Server, file: bytes) -> None:
    """Load another file as the same version, as a native backend does that checks no hash."""
    (server.repository / "net/1/model.onnx").write_bytes(file)
    stamp = server.repository / "net/1/passport.json"
    stamp.rename(stamp.with_suffix(".away"))
    try:
        Admin(server.endpoints).load("net")
    finally:
        stamp.with_suffix(".away").rename(stamp)


@contextlib.contextmanager
def watching(folder: Path, server: Server, *words: object) -> Iterator[subprocess.Popen[str]]:
    program = [sys.executable, "-m", "resnet_serve.cli", "verify", "net", "--watch"]
    given = ["--every", "1s", "--url", server.grpc, "--repository", server.repository, *words]
    process = subprocess.Popen(
        [*program, *map(str, given)],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def the_next(process: subprocess.Popen[str], outcome: str) -> str:
    """The first line from now on with this outcome."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.split()[1] == outcome:
            return line
    raise AssertionError(process.communicate()[1])


@pytest.mark.slow
@pytest.mark.triton
def test_what_happens_to_the_server_is_seen_and_the_watch_goes_on(
    server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "textfile/net.prom"
    with watching(tmp_path, server, "--metrics-port", 0, "--metrics-file", file) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split("//")[1].split("/")[0]
        assert address.startswith("127.0.0.1:")
        line = the_next(process, "ok")
        assert re.match(
            r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ  ok      net 1  agreement 100.00 % ", line
        )
        agreement = 'resnet_serve_verify_agreement{model="net",version="1"}'
        first = scrape(address)
        assert (first[agreement], first["resnet_serve_verify_ok"]) == (1, 1)

        swap_model(server, versioned.model(1, wrong=20))
        line = the_next(process, "missed")
        assert "agreement 0.00 %" in line
        assert "3 flipped: " in line
        assert "net/model.onnx: " in line, "the file has another hash too"
        found = scrape(address)
        assert (found[agreement], found["resnet_serve_verify_ok"]) == (0, 0)
        assert (
            found["resnet_serve_verify_last_success_timestamp_seconds"]
            < found["resnet_serve_verify_last_round_timestamp_seconds"]
        )
        assert until(lambda: samples(file.read_text())[agreement] == 0)
        assert [each.name for each in file.parent.iterdir() if each.suffix != ".part"] == [
            file.name
        ]

        swap_model(server, versioned.model(1))
        the_next(process, "ok")
        os.kill(server.status.server_pid, signal.SIGKILL)
        assert re.search("net.* is not served: |does not answer: ", the_next(process, "failed"))
        the_next(process, "ok")
        assert scrape(address)['resnet_serve_verify_rounds_total{outcome="failed"}'] >= 1

        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert re.search(
            r"\d+ rounds: \d+ ok, \d+ missed, \d+ failed; lowest agreement 0.00 %$", out
        )
        assert process.returncode == 3
        assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.triton
def test_a_watch_without_a_fault_ends_with_0_and_prints_json(
    server: Server, tmp_path: Path
) -> None:
    with watching(tmp_path, server, "--json") as process:
        assert process.stdout is not None
        done = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (0, "")
    assert (done["outcome"], done["version"], done["flipped"]) == ("ok", 1, [])


@pytest.mark.slow
@pytest.mark.triton
def test_the_reference_is_computed_once_for_each_version(server: Server) -> None:
    asked: list[int] = []
    chosen = [1]
    repository = Repository(server.repository)

    def reference(deployed: Deployed) -> Examples:
        asked.append(deployed.version)
        return recorded(deployed)

    def find() -> Deployed:
        return changes.find(repository.deployed(), "net", chosen[0])

    watch = Watch(find, lambda: GrpcClient(server.grpc), reference)
    assert {watch.round().outcome for _ in range(2)} == {"ok"}
    assert asked == [1]
    assert versioned.deploy(repository, serve=False) == 2
    chosen[0] = 2
    done = watch.round()
    assert (done.outcome, done.version) == ("missed", 2), "the server still has version 1"
    assert asked == [1, 2]
    chosen[0] = 3
    assert watch.round().outcome == "failed"
    chosen[0] = 1
    assert watch.round().outcome == "ok"
    repository.remove(("net", "net_preprocess", "net_image"), 2)


def test_an_unexpected_error_is_a_failed_round(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "models")
    versioned.deploy(repository)

    def refusing() -> GrpcClient:
        raise ZeroDivisionError("no such thing")

    watch = Watch(lambda: changes.find(repository.deployed(), "net"), refusing, recorded)
    assert str(watch.round()).endswith("failed  net  ZeroDivisionError: no such thing")

    def nowhere() -> GrpcClient:
        return GrpcClient("127.0.0.1:9")

    watch = Watch(lambda: changes.find(repository.deployed(), "net"), nowhere, recorded)
    assert watch.round().outcome == "failed"


def test_what_cannot_be_watched_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "models"
    versioned.deploy(Repository(path))
    for words, code, said in (
        (("net", "--every", "5m"), 2, "--every is an option of --watch. Give --watch too."),
        (("net", "--metrics-port", 0), 2, "--metrics-port is an option of --watch"),
        (("--host", "--watch"), 2, "Leave one out"),
        (("net", "--watch", "--every", "5"), 2, "such as 30s, 5m or 1h"),
        (("net", "--watch", "--every", "0.5s"), 2, "at least a second"),
        (("nett", "--watch"), 2, "There is net"),
        (("net", "--watch", "--metrics-file", "a.txt"), 2, "--metrics-file a.prom"),
        (("net", "--watch", "--metrics-file", "models/net/1/model.onnx/a.prom"), 4, "cannot write"),
    ):
        given = ["verify", *map(str, words), "--repository", str(path)]
        refused = command("resnet-serve", given, capsys, tmp_path)
        assert (refused.returncode, said in refused.stderr) == (code, True), refused.stderr
        assert refused.stderr.count("\n") == 1
