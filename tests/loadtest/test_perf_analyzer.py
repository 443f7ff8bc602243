"""The real perf_analyzer against the real Triton, and what its user may type."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from patience import PATIENCE_S, until
from toy_repository import BATCH, deploy_toy

from resnet_serve.errors import HostError, ResnetServeError, UnavailableError, UsageError
from resnet_serve.loadtest import perf_process, perf_program
from resnet_serve.loadtest import run as loadtest
from resnet_serve.loadtest.inputs import Samples, signature_of
from resnet_serve.loadtest.offered import Offered
from resnet_serve.loadtest.perf_analyzer import Level, Measurement, Source, measure
from resnet_serve.loadtest.perf_process import Load, Window
from resnet_serve.triton.client_tls import ClientTls
from resnet_serve.triton.server import Server

LOOSE = 0.6  # windows are short, and a busy machine keeps the clients waiting too
real = [pytest.mark.perf_analyzer, pytest.mark.triton]


@pytest.fixture(scope="module")
def program() -> perf_program.Program:
    return perf_program.find_or_provision()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(
        deploy_toy(tmp_path_factory.mktemp("load") / "repository"), port=0, drain_s=0
    ) as running:
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


def undisturbed(measured: Callable[[], Measurement], holds: Callable[..., bool]) -> Measurement:
    """A measurement whose levels are as they are to be.

    It is made again where they are not: a busy host keeps the clients waiting, or the server.
    """
    found: list[Measurement] = []

    def is_one() -> bool:
        found.append(measured())
        return holds(*found[-1].levels)

    assert until(is_one), found[-1]
    return found[-1]


def encrypted(tls: ClientTls | None) -> Load:
    signature = signature_of("toy", "1", "triton 2.51.0", [("image", "UINT8", (-1, 8, 8, 3))], 4)
    samples = Samples("one image", (bytes(8 * 8 * 3),))
    return Load(signature, "gpu:8001", samples, 1, Offered(1), 0.3, 10, tls)


def test_the_files_of_tls_are_given_to_perf_analyzer() -> None:
    def words(tls: ClientTls | None) -> list[str]:
        found = encrypted(tls).arguments(Path("in"), Path("out"))
        return found[found.index("gpu:8001") + 1 : found.index("--input-data")]

    assert words(None) == []
    assert words(ClientTls()) == ["--ssl-grpc-use-ssl"]
    assert words(ClientTls(Path("ca.pem"), Path("own.pem"), Path("own.key"))) == [
        "--ssl-grpc-use-ssl",
        *("--ssl-grpc-root-certifications-file", "ca.pem"),
        *("--ssl-grpc-certificate-chain-file", "own.pem"),
        *("--ssl-grpc-private-key-file", "own.key"),
    ]


def test_an_authority_that_this_host_does_not_know_is_no_end_of_the_server(tmp_path: Path) -> None:
    """What perf_analyzer 2.51.0 and 2.60.0 print; they have no list of authorities of their own."""
    script = tmp_path / "perf_analyzer"
    said = (
        "error: failed to get model metadata: failed to connect to all addresses; last error: "
        "UNKNOWN: ipv4:127.0.0.1:8001: Ssl handshake failed: SSL_ERROR_SSL: "
        "error:0A000086:SSL routines::certificate verify failed"
    )
    script.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 99\n")
    script.chmod(0o755)
    program = perf_program.Program(script, "0")
    with pytest.raises(UnavailableError, match="certificate of the server at gpu:8001 is not"):
        perf_process.run(program, encrypted(ClientTls()))


class TestReal:
    pytestmark = real

    def test_levels_of_a_tensor_model(self, server: Server, program: perf_program.Program) -> None:
        begun: list[Offered] = []
        seen: list[Level] = []

        def measured() -> Measurement:
            begun.clear()
            seen.clear()
            return measure(
                "toy",
                server.grpc,
                [Offered(1), Offered(4)],
                program=lambda: program,
                seconds=0.6,
                started=lambda offered, _: begun.append(offered),
                ended=seen.append,
            )

        def as_offered(one: Level, four: Level) -> bool:
            assert (one.concurrency, four.concurrency) == (1, 4)
            return (
                in_flight(one) == pytest.approx(1, rel=LOOSE)
                and in_flight(four) == pytest.approx(4, rel=LOOSE)
                and in_flight(four) > in_flight(one)
                and four.queue_ms > one.queue_ms
            )

        found = undisturbed(measured, as_offered)
        assert begun == [Offered(1), Offered(4)]
        assert tuple(seen) == found.levels
        assert found.signature.version == "1"
        assert found.signature.server.endswith(server.version)
        for level in found.levels:
            assert level.requests > 3
            assert 0 < level.p50_ms <= level.p90_ms <= level.p95_ms <= level.p99_ms
            assert len(level.window_throughputs_per_s) == 3

    def test_a_batch_counts_its_images(self, server: Server, program: perf_program.Program) -> None:
        one = partial(measure, "toy", server.grpc, [Offered(1)], program=lambda: program)
        undisturbed(
            partial(one, seconds=0.6, batch_size=BATCH),
            lambda level: in_flight(level) == pytest.approx(BATCH, rel=LOOSE),
        )

    def test_requests_at_random_moments(
        self, server: Server, program: perf_program.Program
    ) -> None:
        rate = [Offered(rate_per_s=100)]
        (level,) = undisturbed(
            partial(measure, "toy", server.grpc, rate, program=lambda: program, seconds=3),
            # About 300 arrivals: 5 standard deviations, and what a busy host sends late.
            lambda level: 0.5 * 100 < level.throughput_per_s < 1.3 * 100,
        ).levels
        assert (level.concurrency, level.rate_per_s) == (None, 100)
        assert level.p99_ms >= level.p50_ms > 0

    def test_a_run_is_stopped_after_the_window_that_says_so(
        self, server: Server, program: perf_program.Program
    ) -> None:
        seen: list[Window] = []

        def stop(window: Window) -> bool:
            seen.append(window)
            return True

        load = Source.of(server.grpc, "toy").load(Offered(2), 60)
        found = perf_process.run(program, replace(load, window_s=0.3), stop)
        assert seen == [found]
        assert isinstance(found, Window)
        assert found.throughput_per_s > 0
        assert found.mean_ms > 0
        assert until(lambda: loaders_of(server.grpc) == [])

    def test_encoded_images_through_the_ensemble(
        self, server: Server, program: perf_program.Program
    ) -> None:
        found = measure(
            "toy_image", server.grpc, [Offered(3)], program=lambda: program, seconds=0.6
        )
        (level,) = found.levels
        assert "encoded" in found.inputs
        # One instance decodes and three requests are in flight: they queue. How long depends on
        # what else this machine does.
        assert level.queue_ms > 0

    def test_an_unknown_model_downloads_nothing(self, server: Server) -> None:
        def never() -> perf_program.Program:
            raise AssertionError("perf_analyzer was asked for")

        with pytest.raises(UsageError, match="no model 'toy_imag'") as caught:
            measure("toy_imag", server.grpc, [Offered(1)], program=never)
        assert "Did you mean 'toy_image'?" in str(caught.value)
        assert "toy, toy_image, toy_preprocess" in str(caught.value)

    def test_a_batch_that_does_not_fit(self, server: Server, program: perf_program.Program) -> None:
        with pytest.raises(UsageError, match="the model accepts 1 to 4"):
            measure("toy", server.grpc, [Offered(1)], program=lambda: program, batch_size=5)

    def test_the_http_port_is_not_the_grpc_port(self, server: Server) -> None:
        with pytest.raises(HostError, match="does not speak gRPC"):
            measure("toy", server.http, [Offered(1)], program=perf_program.find_or_provision)

    def test_tls_where_the_server_has_none(self, server: Server) -> None:
        with pytest.raises(UnavailableError, match=r"does not speak TLS\. Connect without TLS"):
            measure(
                "toy",
                server.grpc,
                [Offered(1)],
                program=perf_program.find_or_provision,
                tls=ClientTls(),
            )

    def test_a_server_that_goes_away(self, program: perf_program.Program, tmp_path: Path) -> None:
        with Server(deploy_toy(tmp_path / "repository"), port=0) as short_lived:
            address = short_lived.grpc
            with pytest.raises(HostError, match=r"toy at concurrency 1: the server .* ended"):
                measure(
                    "toy",
                    address,
                    [Offered(1)],
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
            measure("toy", server.grpc, [Offered(1)], program=lambda: broken, seconds=0.6)

    @pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
    def test_a_program_that_crashes_once_is_run_again(
        self,
        server: Server,
        program: perf_program.Program,
        tmp_path: Path,
        number: signal.Signals,
    ) -> None:
        script, crashed = tmp_path / "perf_analyzer", tmp_path / "crashed"
        script.write_text(
            f"#!/bin/sh\n[ -e {crashed} ] || {{ : > {crashed}; kill -{number:d} $$; }}\n"
            f'exec {program.path} "$@"\n'
        )
        script.chmod(0o755)
        fragile = replace(program, path=script)
        two = [Offered(1), Offered(2)]
        found = measure("toy", server.grpc, two, program=lambda: fragile, seconds=0.6)
        assert [each.concurrency for each in found.levels] == [1, 2]
        said = f"perf_analyzer crashed (signal {number:d}, {number.name}); it was run again"
        assert found.crashes == (f"toy at concurrency 1: {said}",)
        assert found.crashes[0] in loadtest.notes(found, 6, None)

    @pytest.mark.parametrize(
        ("number", "says", "runs"),
        [
            (signal.SIGSEGV, r"toy at concurrency 1: perf_analyzer crashed \(signal 11", 2),
            (signal.SIGTERM, "perf_analyzer failed: it ended with status -15", 1),
        ],
    )
    def test_it_is_run_again_once_and_after_crashes_alone(
        self, server: Server, tmp_path: Path, number: signal.Signals, says: str, runs: int
    ) -> None:
        script, log = tmp_path / "perf_analyzer", tmp_path / "log"
        script.write_text(f"#!/bin/sh\necho run >> {log}\nkill -{number:d} $$\n")
        script.chmod(0o755)
        broken = perf_program.Program(script, "0")
        with pytest.raises(ResnetServeError, match=says):
            measure("toy", server.grpc, [Offered(1)], program=lambda: broken, seconds=0.6)
        assert log.read_text().count("run") == runs

    def test_levels_before_one_that_is_rejected_are_kept(
        self, server: Server, program: perf_program.Program, tmp_path: Path
    ) -> None:
        script = tmp_path / "perf_analyzer"
        script.write_text(
            "#!/bin/sh\n"
            'case " $* " in *" --concurrency-range 2 "*)\n'
            "  echo 'error: Exceeds maximum queue size' >&2; exit 99;; esac\n"
            f'exec {program.path} "$@"\n'
        )
        script.chmod(0o755)
        full = replace(program, path=script)
        with pytest.raises(UnavailableError, match="at concurrency 2: the server rejected"):
            measure("toy", server.grpc, [Offered(2)], program=lambda: full, seconds=0.6)
        three = [Offered(1), Offered(2), Offered(4)]
        found = measure("toy", server.grpc, three, program=lambda: full, seconds=0.6)
        assert [each.concurrency for each in found.levels] == [1]
        assert found.rejected == Offered(2)

    # SIGKILL leaves us no word: the kernel ends the child.
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    @pytest.mark.usefixtures("program")
    def test_nothing_is_left_running(
        self, server: Server, tmp_path: Path, number: signal.Signals
    ) -> None:
        script = (
            "from resnet_serve.loadtest import perf_analyzer, perf_program\n"
            "from resnet_serve.loadtest.offered import Offered\n"
            f"perf_analyzer.measure('toy', '{server.grpc}', [Offered(1)], seconds=60,\n"
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
