"""What the reader of a load test sees: table, CSV, JSON and plot."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from load_tests import level, load_test
from rich.console import Console

from resnet_serve import figures, host
from resnet_serve.errors import HostError
from resnet_serve.loadtest import results
from resnet_serve.loadtest.perf_analyzer import Level
from resnet_serve.loadtest.plot import plot
from resnet_serve.loadtest.run import LoadTest
from resnet_serve.loadtest.slo import Slo
from resnet_serve.optional import optional

times_ms = st.floats(0, 1e6)
levels = st.builds(
    Level,
    concurrency=st.integers(1, 1024),
    requests=st.integers(1, 10**9),
    throughput_per_s=st.floats(0.01, 1e6),
    window_throughputs_per_s=st.tuples(*[st.floats(0.01, 1e6)] * 3),
    **{name: times_ms for name in Level.__dataclass_fields__ if name.endswith("_ms")},
)


def rows(test: LoadTest) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(results.to_csv(test))))


def shown(test: LoadTest, width: int = 80) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(results.table(test))
    return file.getvalue()


def test_the_columns_are_stable_and_explained() -> None:
    assert results.to_csv(load_test(level(1))).splitlines()[0] == (
        "model,version,batch_size,concurrency,requests,"
        "throughput_per_s,throughput_min_per_s,throughput_max_per_s,"
        "mean_ms,p50_ms,p90_ms,p95_ms,p99_ms,"
        "client_network_ms,queue_ms,compute_input_ms,compute_infer_ms,compute_output_ms,"
        "rate_per_s"
    )
    assert all(results.COLUMNS.values())


def test_a_busy_host_and_uneven_windows_are_shown() -> None:
    uneven = level(2, 150, window_throughputs_per_s=(90.0, 150.0, 210.0))
    test = load_test(level(1, 100), uneven)
    text = shown(test)
    assert "100.0" in text
    assert "90.0–210.0" in text
    assert "150.0" not in text
    assert "busy" not in text
    pressed = replace(test, pressed=0.5)
    assert "host busy" in " ".join(shown(pressed, 200).split())
    assert "host busy" in plot([pressed])


@given(st.lists(levels, min_size=1, max_size=4))
def test_the_csv_reads_back(measured: list[Level]) -> None:
    for row, expected in zip(rows(load_test(*measured)), measured, strict=True):
        assert (row["model"], row["version"], row["batch_size"]) == ("toy", "3", "1")
        assert int(row["concurrency"]) == expected.concurrency
        for name, value in row.items():
            if name.endswith("_ms"):
                assert float(value) == pytest.approx(getattr(expected, name), abs=1e-4)
        assert float(row["throughput_min_per_s"]) <= float(row["throughput_max_per_s"])


def test_a_rate_has_its_own_column_and_the_limit_a_line() -> None:
    offered = [level(None, 39, rate_per_s=40.0), level(None, 61, rate_per_s=80.0, p99_ms=90.0)]
    test = replace(load_test(*offered), slo=Slo(50))
    assert [(row["concurrency"], row["rate_per_s"]) for row in rows(test)] == [
        ("", "40.0000"),
        ("", "80.0000"),
    ]
    assert "offered" in shown(test)
    assert "p99 ≤ 50 ms" in plot([test])
    assert test.to_json()["slo"] == {
        "p99_ms": 50,
        "met": [True, False],
        "best_throughput_per_s": 39,
    }
    assert test.best is test.levels[0]


def test_the_table_fits_a_terminal() -> None:
    text = shown(load_test(level(1), level(2, 190.04, p99_ms=123.45)))
    assert "190.0" in text
    assert "123.5" in text or "123.4" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_writes_all_three_and_replaces_them(tmp_path: Path) -> None:
    first = results.write(load_test(level(1)), tmp_path / "new" / "folder")
    written = results.write(load_test(level(1), level(2, 150)), tmp_path / "new" / "folder")
    assert written == first
    assert sorted(path.name for path in written.csv.parent.iterdir()) == [
        "loadtest-toy.csv",
        "loadtest-toy.history.jsonl",
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


def test_without_matplotlib_the_figures_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = optional("no_such_package.figure", extra="plot")
    monkeypatch.setattr(figures, "matplotlib_figure", gone)
    written = results.write(load_test(level(1)), tmp_path)
    assert written.csv.is_file()
    assert written.json.is_file()
    assert written.plot is None
    assert "resnet-serve[plot]" in str(written.note)


def test_one_plot_of_several_models(tmp_path: Path) -> None:
    path = results.write_plot([load_test(level(1)), load_test(level(1, 80))], tmp_path)
    assert path == tmp_path / "loadtest.svg"
    assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_a_folder_that_may_not_be_written(
    public_folder: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    public_folder.chmod(0o555)
    with as_nobody(), pytest.raises(HostError, match="cannot write") as caught:
        results.write(load_test(level(1)), public_folder)
    assert caught.value.exit_code == 4
