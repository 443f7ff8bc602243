"""Runs against real servers: the same rows as here, with endpoints that go and come back."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import certificates
import numpy as np
import pytest
from batch_jobs import done, facts_of, job_of
from batch_model import BAD, deploy, pictures
from batch_results import batch, end, parts, results, until
from patience import PATIENCE_S
from ports import three_ports
from pyarrow import parquet as pq
from serve_command import serve

from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.transport import Tls

pytestmark = pytest.mark.triton
IMAGES = 200


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    deploy(folder / "model_repository")
    pictures(folder / "images", IMAGES, bad=True)
    return folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Server]:
    with Server(place / "model_repository", port=0, drain_s=0) as made:
        yield made


@pytest.fixture(scope="module")
def expected(place: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The rows that this process makes of the same images."""
    job, cut = job_of(tmp_path_factory.mktemp("here") / "out", place / "images")
    return done(job, facts_of(place / "model_repository"), cut)


def enough(output: Path, wanted: int) -> bool:
    """Whether so many parts are there."""
    return len(parts(output)) >= wanted


def same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Fail unless rows are the same, but for rounding."""
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        for key in ("row", "input", "failure", "label", "index"):
            assert ours[key] == theirs[key], key
        for key in ("logit", "probability"):
            assert (ours[key] is None) == (theirs[key] is None)
            if ours[key] is not None:
                assert np.allclose(ours[key], theirs[key], atol=1e-4)


@pytest.mark.parametrize("decode", ["client", "server"])
def test_the_rows_are_those_of_this_process(
    place: Path, server: Server, expected: list[dict[str, Any]], decode: str
) -> None:
    output = place / decode
    words = ("toy", "images", "--url", server.grpc, "--decode", decode, "--output", output)
    done = serve(place, "batch", *words, "--rows-per-part", 32, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["images"], found["version"]) == (IMAGES + len(BAD), 1)
    assert found["endpoints"][server.grpc][1] == 0
    rows = results(output)
    if decode == "server":  # the server decides, and says so in its own words
        assert {row["input"] for row in rows if row["failure"]} == set(BAD)
        rows = [row for row in rows if not row["failure"]]
        expected = [row for row in expected if not row["failure"]]
    same(rows, expected)


def test_a_fleet_is_asked_with_tls(place: Path, tmp_path: Path) -> None:
    certificates.make(tmp_path)
    authority = tmp_path / "authority.pem"
    own = ("--tls-cert", tmp_path / "client.pem", "--tls-key", tmp_path / "client.key")
    pair = Tls(tmp_path / "server.pem", tmp_path / "server.key", authority)
    words = ("toy", "images", "--output", place / "encrypted", "--patience", 0.5)
    with Server(place / "model_repository", port=0, drain_s=0, tls=pair) as encrypted:
        words = (*words, "--url", encrypted.grpc)
        plain = serve(place, "batch", *words)
        assert plain.returncode == 4
        assert "does not speak gRPC, or speaks it only over TLS" in plain.stderr
        strange = serve(place, "batch", *words, "--tls")
        assert strange.returncode == 4
        assert "is not accepted. Give the authority that signed it (--tls-ca" in strange.stderr
        nobody = serve(place, "batch", *words, "--tls-ca", authority)
        assert nobody.returncode == 4
        assert "requires a client certificate. Give --tls-cert and --tls-key" in nobody.stderr
        half = serve(place, "batch", *words, "--tls-ca", authority, *own[:2])
        assert half.returncode == 2
        assert "a client's certificate and its key are given together" in half.stderr
        done = serve(place, "batch", *words, "--tls-ca", authority, *own)
    assert done.returncode == 0, done.stderr
    rows = results(place / "encrypted")
    assert {row["input"]: row["failure"] for row in rows if row["failure"]} == BAD
    assert len(rows) == IMAGES + len(BAD)


def test_features_come_as_vectors(place: Path, server: Server) -> None:
    words = ("embed", "images", "--url", server.grpc, "--output", place / "features")
    done = serve(place, "batch", *words)
    assert done.returncode == 0, done.stderr
    rows = results(place / "features")
    assert {row["input"]: row["failure"] for row in rows if row["failure"]} == BAD
    assert {len(row["features"]) for row in rows if not row["failure"]} == {8}


def test_a_run_that_is_killed_at_any_moment_goes_on(
    place: Path, server: Server, expected: list[dict[str, Any]]
) -> None:
    output = place / "killed"
    words = ("toy", "images", "--url", server.grpc, "--output", output)
    words = (*words, "--rows-per-part", 4, "--workers", 2, "--resume")
    moments, kills = random.Random(0), 0
    for _ in range(4):
        process = batch(place, *words)
        try:
            until((output / "_lock").exists, process)
            wanted = len(parts(output)) + moments.randrange(0, 8)
            until(partial(enough, output, wanted), process)
            time.sleep(moments.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE_S)
            kills += 1
        finally:
            end(process)
        for path in output.glob("part-*.parquet"):  # whole, or not there
            assert pq.read_metadata(path).num_rows in (1, 4)
    before = parts(output)
    done = serve(place, "batch", *words)
    assert done.returncode == 0, done.stderr
    assert kills == 4
    assert 0 < len(before) <= len(parts(output)) == 52
    assert parts(output).items() >= before.items()
    assert not list(output.glob(".part-*"))
    same(results(output), expected)


def test_endpoints_that_are_not_there_or_go_away(
    place: Path, server: Server, tmp_path: Path
) -> None:
    port = three_ports()
    second = Server(place / "model_repository", port=port)
    second.start()
    output, address = place / "fleet", second.grpc
    urls = ("--url", server.grpc, "--url", address, "--url", f"127.0.0.1:{three_ports()}")
    many = pictures(tmp_path / "many", 1500)
    process = batch(place, "toy", many, *urls, "--output", output, "--rows-per-part", 16)
    try:
        until(lambda: len(parts(output)) >= 10, process)
        second.stop()
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        end(process)
        second.stop()
    assert process.returncode == 0, err
    assert f"{address} is left out for now" in err
    assert "does not answer yet" in err
    rows = results(output)
    assert len(rows) == 1500
    assert not [row for row in rows if row["failure"]]
    assert "requests to" in out


def test_a_second_run_in_the_same_folder_is_refused(place: Path, server: Server) -> None:
    output = place / "twice"
    words = ("toy", "images", "--url", server.grpc, "--output", output, "--rows-per-part", 4)
    process = batch(place, *words, "--workers", 1)
    try:
        until(lambda: parts(output), process)
        os.kill(process.pid, signal.SIGSTOP)
        done = serve(place, "batch", *words, "--resume")
        os.kill(process.pid, signal.SIGCONT)
        assert done.returncode == 2
        assert "another run is writing there now" in done.stderr
        process.communicate(timeout=PATIENCE_S)
    finally:
        end(process)
    assert process.returncode == 0
    assert len(results(output)) == IMAGES + len(BAD)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("toy", "--top", 2), 2, "has the option top None, not 2"),
        (("toy", "--rows-per-part", 9), 2, "has the option rows_per_part 32, not 9"),
        (("embed",), 2, "has the model model 'toy', not 'embed'"),
        (("toy", "--version", 7), 2, "version"),
    ],
)
def test_another_run_is_not_mixed_in(
    place: Path, server: Server, words: tuple[object, ...], code: int, says: str
) -> None:
    output = place / "client"
    before = parts(output)
    name, *more = words
    options = ("--url", server.grpc, "--output", output, "--resume", "--patience", 0)
    done = serve(place, "batch", name, "images", *options, *more)
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr
    assert parts(output) == before


def test_no_server_is_said(place: Path) -> None:
    words = ("toy", "images", "--url", f"127.0.0.1:{three_ports()}", "--output", place / "none")
    done = serve(place, "batch", *words)
    assert done.returncode == 4
    assert "no server answers at" in done.stderr
    assert not parts(place / "none")
