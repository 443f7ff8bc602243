"""The real perf_analyzer against the real Triton, and what its user may type."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE_S, until
from toy_repository import BATCH, deploy_toy

from resnet_serve.errors import HostError, ResnetServeError, UsageError
from resnet_serve.loadtest import perf_program
from resnet_serve.loadtest.perf_analyzer import MAX_CONCURRENCY, Level, measure, parse_concurrencies
from resnet_serve.triton.server import Server

LOOSE = 0.6  # windows are short, and a busy machine keeps the clients waiting too
real = [pytest.mark.perf_analyzer, pytest.mark.triton]
concurrencies = st.integers(1, MAX_CONCURRENCY)


@given(st.sets(concurrencies, min_size=1, max_size=20))
def test_a_list_is_sorted_and_each_once(numbers: set[int]) -> None:
    listed = list(numbers)
    assert parse_concurrencies(",".join(map(str, listed + listed))) == tuple(sorted(numbers))


@given(concurrencies, concurrencies, concurrencies)
def test_a_range_includes_its_ends(start: int, length: int, step: int) -> None:
    end = min(start + length, MAX_CONCURRENCY)
    found = parse_concurrencies(f"{start}:{end}:{step}")
    assert found[0] == start
    assert end - step < found[-1] <= end
    assert all(b - a == step for a, b in itertools.pairwise(found))
    assert parse_concurrencies(f"{start}:{end}") == tuple(range(start, end + 1))


@given(st.text(alphabet="0123456789:,-. ax", max_size=12) | st.text())
def test_any_text_is_parsed_or_refused_in_one_line(text: str) -> None:
    try:
        found = parse_concurrencies(text)
    except UsageError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert list(found) == sorted(set(found))
        assert 1 <= found[0] <= found[-1] <= MAX_CONCURRENCY


@pytest.mark.parametrize(
    "text",
    ["", "0", "8:1", "1:8:0", "1:2:3:4", "1,2:4", "-1", "1:", "1.5", "1:99999999999999", "2000"],
)
def test_refused(text: str) -> None:
    with pytest.raises(UsageError, match="1:8:2"):
        parse_concurrencies(text)


@pytest.fixture(scope="module")
def program() -> perf_program.Program:
    return perf_program.find_or_provision()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(deploy_toy(tmp_path_factory.mktemp("load") / "repository"), port=0) as running:
        yield running


def loaders_of(address: str) -> list[int]:
    """Processes that run perf_analyzer against `address`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if address.encode() in words and words[0].endswith(b"perf_analyzer"):
            found.append(int(path.parent.name))
    return found


def in_flight(level: Level) -> float:
    """Images in flight, by Little's law: throughput × latency."""
    return level.throughput_per_s * level.mean_ms / 1000


class TestReal:
    pytestmark = real

    def test_levels_of_a_tensor_model(self, server: Server, program: perf_program.Program) -> None:
        begun: list[int] = []
        seen: list[Level] = []
        found = measure(
            "toy",
            server.grpc,
            (1, 4),
            program=lambda: program,
            seconds=0.6,
            started=lambda concurrency, _: begun.append(concurrency),
            ended=seen.append,
        )
        assert begun == [1, 4]
        assert tuple(seen) == found.levels
        assert found.signature.version == "1"
        assert found.signature.server.endswith(server.version)
        for level in found.levels:
            assert level.requests > 3
            assert 0 < level.p50_ms <= level.p90_ms <= level.p95_ms <= level.p99_ms
            assert len(level.window_throughputs_per_s) == 3
            assert in_flight(level) == pytest.approx(level.concurrency, rel=LOOSE)
        one, four = found.levels
        assert four.queue_ms > one.queue_ms
        assert in_flight(four) > in_flight(one)

    def test_a_batch_counts_its_images(self, server: Server, program: perf_program.Program) -> None:
        (level,) = measure(
            "toy", server.grpc, [1], program=lambda: program, seconds=0.6, batch_size=BATCH
        ).levels
        assert in_flight(level) == pytest.approx(BATCH, rel=LOOSE)

    def test_encoded_images_through_the_ensemble(
        self, server: Server, program: perf_program.Program
    ) -> None:
        found = measure("toy_image", server.grpc, [3], program=lambda: program, seconds=0.6)
        (level,) = found.levels
        assert "encoded" in found.inputs
        # One instance decodes and three requests are in flight: they queue. How long depends on
        # what else this machine does.
        assert level.queue_ms > 0

    def test_an_unknown_model_downloads_nothing(self, server: Server) -> None:
        def never() -> perf_program.Program:
            raise AssertionError("perf_analyzer was asked for")

        with pytest.raises(UsageError, match="no model 'toy_imag'") as caught:
            measure("toy_imag", server.grpc, [1], program=never)
        assert "Did you mean 'toy_image'?" in str(caught.value)
        assert "toy, toy_image, toy_preprocess" in str(caught.value)

    def test_a_batch_that_does_not_fit(self, server: Server, program: perf_program.Program) -> None:
        with pytest.raises(UsageError, match="the model accepts 1 to 4"):
            measure("toy", server.grpc, [1], program=lambda: program, batch_size=5)

    def test_the_http_port_is_not_the_grpc_port(self, server: Server) -> None:
        with pytest.raises(HostError, match="does not speak gRPC"):
            measure("toy", server.http, [1], program=perf_program.find_or_provision)

    def test_a_server_that_goes_away(self, program: perf_program.Program, tmp_path: Path) -> None:
        with Server(deploy_toy(tmp_path / "repository"), port=0) as short_lived:
            address = short_lived.grpc
            with pytest.raises(HostError, match=r"toy at concurrency 1: the server .* ended"):
                measure(
                    "toy",
                    address,
                    [1],
                    program=lambda: program,
                    started=lambda *_: short_lived.stop(),
                )
        assert loaders_of(address) == []

    def test_a_program_that_fails_is_quoted(self, server: Server, tmp_path: Path) -> None:
        script = tmp_path / "perf_analyzer"
        script.write_text("#!/bin/sh\necho 'error: out of paper' >&2\nexit 99\n")
        script.chmod(0o755)
        broken = perf_program.Program(script, "0")
        with pytest.raises(ResnetServeError, match="perf_analyzer failed: out of paper"):
            measure("toy", server.grpc, [1], program=lambda: broken, seconds=0.6)

    # SIGKILL leaves us no word: the kernel ends the child.
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    @pytest.mark.usefixtures("program")
    def test_nothing_is_left_running(
        self, server: Server, tmp_path: Path, number: signal.Signals
    ) -> None:
        script = (
            "from resnet_serve.loadtest import perf_analyzer, perf_program\n"
            f"perf_analyzer.measure('toy', '{server.grpc}', [1], seconds=60,\n"
            "    program=perf_program.find_or_provision)\n"
        )
        # What a killed process leaves in its temporary folder, pytest clears away.
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        with subprocess.Popen(
            [sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL
        ) as child:
            assert until(lambda: len(loaders_of(server.grpc)) == 1), "the load never started"
            os.kill(child.pid, number)
            assert child.wait(PATIENCE_S) != 0
        assert until(lambda: loaders_of(server.grpc) == [])
