"""A load test: its notes, and the real perf_analyzer against the real Triton, with mutual TLS."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import certificates
import pytest
from load_tests import level, load_test
from serve_command import serve
from toy_repository import deploy_toy

from resnet_serve.cli.measuring import load
from resnet_serve.errors import HostError, UsageError
from resnet_serve.loadtest import results
from resnet_serve.loadtest import run as loadtest
from resnet_serve.loadtest.offered import Offered
from resnet_serve.planning import measured
from resnet_serve.planning.simulation import capacity_per_s
from resnet_serve.triton.client_tls import ClientTls
from resnet_serve.triton.server import Server
from resnet_serve.triton.supervision.transport import Tls


def test_what_misleads_is_said() -> None:
    quiet = load_test(level(1), level(2))
    assert quiet.notes == ()
    uneven = level(4, window_throughputs_per_s=(80.0, 100.0, 120.0))
    said = " ".join(load_test(level(1), uneven, note="/x does not run here").notes)
    assert "varied by up to 40% between the windows (concurrency 4)" in said
    assert "/x does not run here" in said
    assert "p99 rests on fewer than 100 requests at concurrency 1, 8" in " ".join(
        load_test(level(1, requests=99), level(2), level(8, requests=3)).notes
    )
    assert "measured for 30 s instead of 6 s" in " ".join(load_test(level(1), window_s=10).notes)
    shared = loadtest.notes(quiet.measurement, 6, 2)
    assert "share this host's 2 cores" in shared[0]


def test_the_results_are_shown_where_they_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    measured_levels = load_test(level(1, 100), level(2, 150))
    for as_json in (False, True):
        with pytest.raises(HostError, match="cannot write"):
            load._show([measured_levels], tmp_path / "file", as_json=as_json)
        assert "150" in capsys.readouterr().out


def test_the_best_is_not_stated_on_a_busy_host() -> None:
    quiet = load_test(level(1, 100), level(2, 150))
    assert quiet.best is quiet.levels[1]
    assert replace(quiet, pressed=0.2).best is quiet.levels[1]
    busy = replace(quiet, pressed=0.9)
    assert busy.best is None
    assert "tasks waited for a CPU 90 % of the time before" in (busy.busy or "")
    assert busy.to_json()["not_stated"] == busy.busy
    uneven = level(4, 400, window_throughputs_per_s=(200.0, 400.0, 600.0))
    assert load_test(level(1, 100), uneven).best == level(1, 100)
    assert load_test(uneven).best is None


def test_what_the_server_did_not_keep_up_with_is_said() -> None:
    kept = level(None, 38, rate_per_s=40.0)
    late = level(None, 60, rate_per_s=80.0)
    said = " ".join(load_test(kept, late).notes)
    assert "did not keep up at 80 requests/s: 60.0/s" in said
    assert load_test(kept).notes == ()


def test_a_level_that_the_server_rejected_ends_the_test_and_is_said() -> None:
    kept = load_test(level(None, 38, rate_per_s=40.0))
    assert kept.to_json()["rejected_at"] is None
    rejected = replace(kept.measurement, rejected=Offered(rate_per_s=80))
    assert loadtest.notes(rejected, 6, None) == (
        "The server rejected requests at 80 requests/s, as its queue was full: neither that nor "
        "more was measured.",
    )
    assert replace(kept, measurement=rejected).to_json()["rejected_at"] == "80 requests/s"


@pytest.mark.parametrize("url", ["localhost:8001", "127.0.0.1:1", "[::1]:8001"])
def test_addresses_of_this_host(url: str) -> None:
    if url.startswith("[") and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    assert loadtest.is_this_host(url)


@pytest.mark.parametrize("url", ["192.0.2.1:8001", "no-such-host.invalid:8001", "", "..:1"])
def test_addresses_elsewhere(url: str) -> None:
    assert not loadtest.is_this_host(url)


def test_a_bad_concurrency_asks_no_server() -> None:
    with pytest.raises(UsageError, match="1:8:2"):
        loadtest.run("toy", url="127.0.0.1:9", concurrency="eight")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository, and certificates."""
    made = tmp_path_factory.mktemp("load")
    certificates.make(made)
    deploy_toy(made / "repository")
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """A server that asks its clients for a certificate."""
    tls = Tls(folder / "server.pem", folder / "server.key", folder / "authority.pem")
    with Server(folder / "repository", port=0, drain_s=0, tls=tls) as running:
        yield running


@pytest.mark.perf_analyzer
@pytest.mark.triton
def test_the_real_thing(server: Server, folder: Path, tmp_path: Path) -> None:
    url = server.grpc
    tls = ClientTls(*(folder / name for name in ("authority.pem", "client.pem", "client.key")))
    test = loadtest.run("toy_image", url=url, tls=tls, concurrency="1,2", seconds=0.6)
    assert test.same_host
    assert [each.concurrency for each in test.levels] == [1, 2]
    stated = [each for each in test.levels if test.busy is None and not each.uneven]
    assert (test.best is None) == (not stated), "a busy host states none"
    assert test.best is None or test.best in stated
    words = shlex.split(test.command)
    assert words[:5] == ["resnet-serve", "loadtest", "toy_image", "--url", url]
    assert words[5:11] == tls.options()
    assert "share this host's" in test.notes[0]
    assert [each.model for each in test.measurement.served] == ["toy_preprocess", "toy"]
    for each in test.levels:
        decoded, classified = each.executed
        assert (decoded.model, classified.model) == ("toy_preprocess", "toy")
        assert sum(row.executions for row in decoded.batches) >= each.requests
        computed = [row.mean_ms for ran in each.executed for row in ran.batches]
        assert min(computed) > 0
    document = test.to_json()
    assert document["tls"] is True
    assert document["served"][1]["max_batch_size"] == 4
    assert document["levels"][0]["executed"][1]["batches"][0]["batch_size"] == 1
    written = results.write(test, tmp_path / "out")
    assert written.plot is not None
    assert [line.split(",")[3] for line in written.csv.read_text().splitlines()[1:]] == ["1", "2"]
    assert results.table(test).title == "toy_image version 1, batch 1"
    assert str(results.table(test).caption).endswith("; with TLS") or test.busy is not None
    (candidate,) = measured.read(written.json, "toy_image")
    assert [each.name for each in candidate.stations] == ["toy_preprocess", "toy"]
    assert candidate.stations[0].max_batch == 1, "images are decoded one at a time"
    assert capacity_per_s(candidate.stations) > 0


@pytest.mark.triton
def test_a_server_with_tls_says_which_options_are_missing(server: Server, folder: Path) -> None:
    authority, own = ("--tls-ca", "authority.pem"), ("--tls-cert", "client.pem")
    for options, code, said in (
        ((), 4, f"the server at {server.grpc} does not speak gRPC, or speaks it only over TLS"),
        (("--tls",), 4, f"the certificate of the server at {server.grpc} is not accepted"),
        (authority, 4, "requires a client certificate. Give --tls-cert and --tls-key"),
        ((*authority, *own), 2, "Give --tls-cert and --tls-key"),
        ((*authority, *own, "--tls-key", "server.key"), 4, "the one that belongs to the certif"),
        (("--tls-ca", "nothing.pem"), 5, "nothing.pem: cannot be read"),
    ):
        refused = serve(folder, "loadtest", "toy", "--url", server.grpc, *options)
        assert refused.returncode == code, refused.stderr
        assert said in refused.stderr
