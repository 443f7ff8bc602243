"""From a measurement to what its reader sees: notes, table, CSV, JSON, plot; and the real thing."""

from __future__ import annotations

import csv
import io
import json
import shlex
import socket
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from toy_repository import deploy_toy

from resnet_serve import host
from resnet_serve.errors import HostError, UsageError
from resnet_serve.loadtest import run as loadtest
from resnet_serve.loadtest.inputs import signature_of
from resnet_serve.loadtest.perf_analyzer import Level, Measurement
from resnet_serve.loadtest.perf_program import Program
from resnet_serve.loadtest.run import LoadTest
from resnet_serve.optional import optional
from resnet_serve.triton.server import Server

times_ms = st.floats(0, 1e6)
levels = st.builds(
    Level,
    concurrency=st.integers(1, 1024),
    requests=st.integers(1, 10**9),
    throughput_per_s=st.floats(0.01, 1e6),
    window_throughputs_per_s=st.tuples(*[st.floats(0.01, 1e6)] * 3),
    **{name: times_ms for name in Level.__dataclass_fields__ if name.endswith("_ms")},
)


def level(concurrency: int, throughput_per_s: float = 100, **changed: object) -> Level:
    steady = Level(
        concurrency=concurrency,
        requests=500,
        throughput_per_s=throughput_per_s,
        window_throughputs_per_s=(throughput_per_s,) * 3,
        mean_ms=10.0,
        p50_ms=9.0,
        p90_ms=12.0,
        p95_ms=13.0,
        p99_ms=15.0,
        client_network_ms=1.0,
        queue_ms=4.0,
        compute_input_ms=0.5,
        compute_infer_ms=4.0,
        compute_output_ms=0.5,
    )
    return replace(steady, **changed)  # type: ignore[arg-type]


def load_test(*measured: Level, note: str | None = None, window_s: float = 2) -> LoadTest:
    signature = signature_of("toy", "3", "triton 2.51.0", [("image", "UINT8", (-1, 8, 8, 3))], 4)
    program = Program(Path("/bin/perf_analyzer"), "2.51.0", None, note)
    found = Measurement(signature, "127.0.0.1:1", 1, "8 images", window_s, program, measured)
    said = loadtest.notes(found, 6, None)
    return LoadTest(found, host.describe(), False, said, "resnet-serve loadtest toy", "2026-01-01")


def rows(test: LoadTest) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(loadtest.to_csv(test))))


def shown(test: LoadTest, width: int = 80) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(loadtest.table(test))
    return file.getvalue()


def test_the_columns_are_stable_and_explained() -> None:
    assert loadtest.to_csv(load_test(level(1))).splitlines()[0] == (
        "model,version,batch_size,concurrency,requests,"
        "throughput_per_s,throughput_min_per_s,throughput_max_per_s,"
        "mean_ms,p50_ms,p90_ms,p95_ms,p99_ms,"
        "client_network_ms,queue_ms,compute_input_ms,compute_infer_ms,compute_output_ms"
    )
    assert all(loadtest.COLUMNS.values())


@given(st.lists(levels, min_size=1, max_size=4))
def test_the_csv_reads_back(measured: list[Level]) -> None:
    for row, expected in zip(rows(load_test(*measured)), measured, strict=True):
        assert (row["model"], row["version"], row["batch_size"]) == ("toy", "3", "1")
        assert int(row["concurrency"]) == expected.concurrency
        for name, value in row.items():
            if name.endswith("_ms"):
                assert float(value) == pytest.approx(getattr(expected, name), abs=1e-4)
        assert float(row["throughput_min_per_s"]) <= float(row["throughput_max_per_s"])


def test_the_table_fits_a_terminal() -> None:
    text = shown(load_test(level(1), level(2, 190.04, p99_ms=123.45)))
    assert "190.0" in text
    assert "123.5" in text or "123.4" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


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


@pytest.mark.parametrize("url", ["localhost:8001", "127.0.0.1:1", "[::1]:8001"])
def test_addresses_of_this_host(url: str) -> None:
    if url.startswith("[") and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    assert loadtest.is_this_host(url)


@pytest.mark.parametrize("url", ["192.0.2.1:8001", "no-such-host.invalid:8001", "", "..:1"])
def test_addresses_elsewhere(url: str) -> None:
    assert not loadtest.is_this_host(url)


def test_writes_all_three_and_replaces_them(tmp_path: Path) -> None:
    first = loadtest.write(load_test(level(1)), tmp_path / "new" / "folder")
    written = loadtest.write(load_test(level(1), level(2, 150)), tmp_path / "new" / "folder")
    assert written == first
    assert sorted(path.name for path in written.csv.parent.iterdir()) == [
        "loadtest-toy.csv",
        "loadtest-toy.json",
        "loadtest-toy.svg",
    ]
    assert written.plot is not None
    assert ElementTree.parse(written.plot).getroot().tag.endswith("svg")
    document = json.loads(written.json.read_text())
    assert [level["throughput_per_s"] for level in document["levels"]] == [100, 150]
    assert document["versions"]["perf_analyzer"] == "2.51.0"
    assert document["client_host"]["cores"] == host.cores()
    assert document["command"] == "resnet-serve loadtest toy"


def test_the_plot_is_the_same_for_the_same_figures() -> None:
    one, two = load_test(level(1), level(2, 150)), load_test(level(1), level(2, 151))
    assert loadtest.plot([one]) == loadtest.plot([one])
    assert loadtest.plot([one]) != loadtest.plot([two])


def test_without_matplotlib_the_figures_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = optional("no_such_package.figure", extra="plot")
    monkeypatch.setattr(loadtest, "matplotlib_figure", gone)
    written = loadtest.write(load_test(level(1)), tmp_path)
    assert written.csv.is_file()
    assert written.json.is_file()
    assert written.plot is None
    assert "resnet-serve[plot]" in str(written.note)


def test_a_folder_that_may_not_be_written(
    public_folder: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    public_folder.chmod(0o555)
    with as_nobody(), pytest.raises(HostError, match="cannot write") as caught:
        loadtest.write(load_test(level(1)), public_folder)
    assert caught.value.exit_code == 4


def test_a_bad_concurrency_asks_no_server() -> None:
    with pytest.raises(UsageError, match="1:8:2"):
        loadtest.run("toy", url="127.0.0.1:9", concurrency="eight")


@pytest.mark.perf_analyzer
@pytest.mark.triton
def test_the_real_thing(tmp_path: Path) -> None:
    with Server(deploy_toy(tmp_path / "repository"), port=0) as server:
        url = server.grpc
        test = loadtest.run("toy_image", url=url, concurrency="1,2", seconds=0.6)
    assert test.same_host
    assert [each.concurrency for each in test.levels] == [1, 2]
    assert test.best.throughput_per_s == max(each.throughput_per_s for each in test.levels)
    words = shlex.split(test.command)
    assert words[:5] == ["resnet-serve", "loadtest", "toy_image", "--url", url]
    assert "share this host's" in test.notes[0]
    written = loadtest.write(test, tmp_path / "out")
    assert written.plot is not None
    assert [int(row["concurrency"]) for row in rows(test)] == [1, 2]
    assert "toy_image version 1" in shown(test)
