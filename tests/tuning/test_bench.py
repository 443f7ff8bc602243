"""The real Triton and the real perf_analyzer: loads, statistics, a kill, the whole command."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tunable
from patience import PATIENCE_S, until

from resnet_serve import errors
from resnet_serve.errors import HostError
from resnet_serve.loadtest import perf_program
from resnet_serve.loadtest.offered import Offered
from resnet_serve.parity import pressure
from resnet_serve.triton import config
from resnet_serve.triton.grpc_client import GrpcClient
from resnet_serve.triton.repository import CONFIG_FILE, Repository
from resnet_serve.tuning.bench import TritonBench
from resnet_serve.tuning.candidates import find

pytestmark = [pytest.mark.slow, pytest.mark.triton, pytest.mark.perf_analyzer]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    opened = Repository(tmp_path_factory.mktemp("tuned") / "repository")
    tunable.deploy(opened, hidden=512)
    tunable.deploy(opened, hidden=256, target="openvino")
    tunable.deploy(opened, hidden=128, serve=False)
    damaged = opened.path / "net" / "3" / "model.onnx"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    return opened


@pytest.fixture(scope="module")
def bench(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonBench]:
    candidates = find(repository.deployed(), "net", None)
    default = tunable.configuration(version=2)
    with TritonBench(
        tmp_path_factory.mktemp("bench") / "work",
        candidates,
        default,
        program=perf_program.find_or_provision(),
        seconds=1.5,  # on a busy host no request may end in a shorter window
    ) as opened:
        yield opened


def loaded(bench: TritonBench, model: str) -> object:
    """The configuration that the server has of a model."""
    with GrpcClient(bench._server.grpc) as client:
        return client.get_model_config(model, client_timeout=30).config


def test_each_configuration_is_loaded_explicitly(bench: TritonBench) -> None:
    default = bench.serve(tunable.configuration(version=2))
    other = bench.serve(tunable.configuration(version=1, instances=2, max_batch_size=8))
    assert default != other
    made = loaded(bench, other)
    assert (made.instance_group[0].count, made.max_batch_size, made.backend) == (
        *(2, 8),
        "onnxruntime",
    )
    assert made.parameters["intra_op_thread_count"].string_value == "1"
    assert not made.dynamic_batching.HasField("default_queue_policy")
    again = bench.serve(tunable.configuration(version=1, max_batch_size=1))
    made = loaded(bench, again)
    assert (made.instance_group[0].count, made.max_batch_size) == (1, 1)


def test_two_configurations_of_a_version_are_served_at_the_same_time(bench: TritonBench) -> None:
    first = bench.serve(tunable.configuration(version=1, instances=2))
    second = bench.serve(tunable.configuration(version=1, max_batch_size=8), keep=first)
    assert loaded(bench, first).instance_group[0].count == 2
    assert loaded(bench, second).max_batch_size == 8
    for each in (first, second):
        assert bench.load(each, Offered(1), lambda _: False) is not None


def test_a_point_has_the_batches_that_the_server_ran(bench: TritonBench) -> None:
    model = bench.serve(tunable.configuration(version=1, max_batch_size=8, delay_ms=4.0))
    alone = bench.load(model, Offered(1), lambda _: False)
    many = bench.load(model, Offered(8), lambda _: False)
    assert alone is not None
    assert many is not None
    assert (alone.mean_batch, alone.largest_batch) == (1, 1)
    assert many.mean_batch > 1
    assert many.largest_batch <= 8
    assert 0 < many.busy <= 1
    assert (many.pressed is None) == (pressure.lately() is None)
    assert 0 <= (many.pressed or 0) <= 1
    assert many.executed is not None
    assert max(each.batch_size for each in many.executed.batches) == many.largest_batch
    assert all(each.mean_ms > 0 for each in many.executed.batches)
    assert many.throughput_per_s > 0
    assert bench.load(model, Offered(2), lambda _: True) is None


def test_requests_at_random_moments(bench: TritonBench) -> None:
    model = bench.serve(tunable.configuration(version=1))
    found = bench.load(model, Offered(rate_per_s=60), lambda _: False)
    assert found is not None
    assert (found.concurrency, found.rate_per_s) == (None, 60)
    assert found.p99_ms >= found.p50_ms > 0


@pytest.mark.parametrize("version", [1, 2])
def test_a_batch_is_divided_among_the_threads(bench: TritonBench, version: int) -> None:
    """The server computes the same, and its statistics still count whole batches."""
    divided = tunable.configuration(
        version=version, threads=2, max_batch_size=8, one_per_core_below=17, delay_ms=4.0
    )
    model = bench.serve(divided)
    assert loaded(bench, model).parameters["one_per_core_below"].string_value == "17"
    found = bench.load(model, Offered(8), lambda _: False)
    assert found is not None
    assert 1 < found.mean_batch <= 8


def test_a_perf_analyzer_that_crashes_is_run_again(
    bench: TritonBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, said = bench._program, list[str]()
    script, crashed = tmp_path / "perf_analyzer", tmp_path / "crashed"
    script.write_text(
        f"#!/bin/sh\n[ -e {crashed} ] || {{ : > {crashed}; kill -SEGV $$; }}\n"
        f'exec {program.path} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(bench, "_program", replace(program, path=script))
    monkeypatch.setattr(bench, "_say", said.append)
    model = bench.serve(tunable.configuration(version=1))
    assert bench.load(model, Offered(1), lambda _: False) is not None
    assert [each.partition(": ")[2] for each in said] == [
        "perf_analyzer crashed (signal 11, SIGSEGV); it was run again"
    ]


def test_what_the_server_refuses_is_said(bench: TritonBench) -> None:
    with pytest.raises(HostError, match=r"cannot load version-3: .*its passport"):
        bench.serve(tunable.configuration(version=3))
    model = bench.serve(tunable.configuration(version=1, max_batch_size=8))
    assert bench.load(model, Offered(1), lambda _: False) is not None


def test_a_crash_costs_one_trial(bench: TritonBench) -> None:
    wanted = tunable.configuration(version=1, max_batch_size=8)
    model = bench.serve(wanted)
    os.kill(bench._server.status.server_pid, signal.SIGKILL)
    with pytest.raises(HostError, match=r"ended|crashed|no server answers") as failed:
        bench.load(model, Offered(1), lambda _: False)
    assert "resnet-serve up" not in str(failed.value), "it is no server of the user's"
    model = bench.serve(wanted)
    assert loaded(bench, model).max_batch_size == 8
    assert bench.load(model, Offered(1), lambda _: False) is not None


def test_a_connection_that_ends_with_the_server_is_its_crash(
    bench: TritonBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What gRPC says of one that was being made then is that of a port without gRPC."""

    def cut_off(*_: object) -> None:
        raise errors.unreachable("127.0.0.1:8001", "Socket closed")

    model = bench.serve(tunable.configuration(version=1, max_batch_size=8))
    monkeypatch.setattr("resnet_serve.tuning.bench.Source.of", cut_off)
    with pytest.raises(HostError, match="does not speak gRPC"):
        bench.load(model, Offered(1), lambda _: False)
    os.kill(bench._server.status.server_pid, signal.SIGKILL)
    with pytest.raises(HostError, match="the server crashed"):
        bench.load(model, Offered(1), lambda _: False)


def tune(folder: Path, *words: str) -> list[str]:
    command = [sys.executable, "-m", "resnet_serve.cli", "tune", "net", "--p99", "2s"]
    command += ["--trials", "3", "--seconds", "0.5", "--repository", str(folder / "repository")]
    return [*command, "--output", str(folder / "tuning"), *words]


def test_a_killed_run_goes_on_and_its_result_is_applied(tmp_path: Path) -> None:
    opened = Repository(tmp_path / "repository")
    tunable.deploy(opened, hidden=512)
    journal = tmp_path / "tuning" / "tune-net.journal"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "200"}
    with subprocess.Popen(
        tune(tmp_path), env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as child:
        assert until(lambda: b'{"trial":' in _bytes(journal)), "no trial ended"
        time.sleep(1)  # the next one is under way
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(PATIENCE_S) != 0
    assert opened.versions("net") == [1], "nothing was changed"
    done = subprocess.run(
        tune(tmp_path, "--resume", "--apply", "--json"),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [each["number"] for each in document["trials"] if each["state"] != "equal"][:1] == [1]
    assert sum(each["state"] != "equal" for each in document["trials"]) == 3
    rows = list(csv.DictReader((tmp_path / "tuning/tune-net.csv").open()))
    assert {row["trial"] for row in rows} == {str(each["number"]) for each in document["trials"]}
    assert not (tmp_path / "tuning" / ".tune-net").exists(), "the links are gone"
    if document["chosen"] is None:
        assert document["applied"] is None
        assert opened.versions("net") == [1]
    else:
        assert document["applied"] == {"version": 2, "server": None}
        made = config.parse((opened.path / "net" / CONFIG_FILE).read_text())
        assert made.instance_group[0].count == document["chosen"]["instances"]
    lines = done.stderr.splitlines()
    assert any("3 of 3" in line for line in lines)
    assert any("frontier:" in line for line in lines)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
