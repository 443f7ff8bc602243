"""The results of a load test for its reader: a table, and files of CSV, JSON and a plot (SVG)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from resnet_serve import console, durable
from resnet_serve.errors import HostError
from resnet_serve.loadtest import history
from resnet_serve.loadtest.perf_report import Level
from resnet_serve.loadtest.plot import plot
from resnet_serve.loadtest.run import LoadTest

COLUMNS = {
    "model": "the model's name on the server",
    "version": "the version that was measured",
    "batch_size": "images in one request",
    "concurrency": "requests in flight at any moment; empty where a rate was offered",
    "requests": "requests that ended during the measurement",
    "throughput_per_s": "images per second",
    "throughput_min_per_s": "images per second in the slowest window",
    "throughput_max_per_s": "images per second in the fastest window",
    "mean_ms": "mean latency of a request, measured by the client",
    "p50_ms": "median latency",
    "p90_ms": "90th percentile of the latency",
    "p95_ms": "95th percentile of the latency",
    "p99_ms": "99th percentile of the latency",
    "client_network_ms": "share of the mean outside the server's queue and compute",
    "queue_ms": "share of the mean spent waiting for an instance or a batch",
    "compute_input_ms": "share of the mean spent copying the input",
    "compute_infer_ms": "share of the mean spent in the backend",
    "compute_output_ms": "share of the mean spent copying the output",
    "rate_per_s": "requests per second that were offered, at random moments; empty without a rate",
}


@dataclass(frozen=True)
class Written:
    """The files of one run; `note` gives the reason where there is no plot."""

    csv: Path
    json: Path
    plot: Path | None
    note: str | None = None


def table(test: LoadTest) -> Table:
    """One row per concurrency or rate: throughput, latency, and the parts of a mean request's time.

    Where the windows differ too much, the throughput is their range; on a busy host no level is
    the best.
    """
    measured = test.measurement
    caption = f"{measured.inputs}; perf_analyzer {measured.program.version}"
    caption += "" if measured.tls is None else "; with TLS"
    drawn = console.table(
        f"{test.model} version {measured.signature.version}, batch {measured.batch_size}",
        caption=caption
        if test.busy is None
        else f"{caption}; not stated as its speed: {test.busy}",
    )
    drawn.collapse_padding = True
    by_rate = any(level.rate_per_s is not None for level in test.levels)
    first = "offered\n/s" if by_rate else "concur-\nrency"
    for heading in (first, "images\n/s", "spread"):
        drawn.add_column(heading, justify="right")
    for heading in ("p50", "p90", "p95", "p99"):
        drawn.add_column(f"{heading}\nms", justify="right")
    for heading in ("client,\nnet ms", "queue\nms", "compute\nms"):
        drawn.add_column(heading, justify="right", style="cyan")
    for level in test.levels:
        times_ms = (level.p50_ms, level.p90_ms, level.p95_ms, level.p99_ms)
        shares_ms = (level.client_network_ms, level.queue_ms, level.compute_ms)
        drawn.add_row(
            f"{level.rate_per_s:g}" if by_rate else str(level.concurrency),
            _throughput(level),
            "" if by_rate else f"{level.spread:.0%}",
            *(f"{value:.1f}" for value in (*times_ms, *shares_ms)),
            style="bold" if level is test.best and len(test.levels) > 1 else "",
        )
    return drawn


def _throughput(level: Level) -> str:
    windows = level.window_throughputs_per_s
    if level.uneven:
        return f"{min(windows):.1f}–{max(windows):.1f}"
    return f"{level.throughput_per_s:.1f}"


def to_csv(test: LoadTest) -> str:
    """The levels as CSV, in the columns of `COLUMNS`, whose names and order are stable."""
    measured = test.measurement
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for level in test.levels:
        row: dict[str, object] = {
            name: f"{value:.4f}" if isinstance(value, float) else value
            for name, value in asdict(level).items()
        }
        row |= {"model": test.model, "version": measured.signature.version}
        row |= {"batch_size": measured.batch_size}
        row |= {"throughput_min_per_s": f"{min(level.window_throughputs_per_s):.4f}"}
        row |= {"throughput_max_per_s": f"{max(level.window_throughputs_per_s):.4f}"}
        writer.writerow(row)
    return file.getvalue()


def write(test: LoadTest, directory: Path) -> Written:
    """Write `loadtest-<model>.csv`, `.json` and `.svg` into `directory`, each file atomically.

    The run is added to the history of the model there, and the plot has the last runs before it.
    Raises `HostError` for a directory that cannot be written, `InputFileError` for a history that
    is none.
    """
    name = f"loadtest-{test.model}"
    facts = json.dumps(test.to_json(), indent=2)
    earlier = history.add(directory, test)
    return write_files(directory, name, to_csv(test), facts, lambda: plot([test], earlier))


def write_plot(tests: Sequence[LoadTest], directory: Path) -> Path:
    """Write one plot of several models, `loadtest.svg`; raises `HostError` without matplotlib."""
    path = directory / "loadtest.svg"
    durable.write(path, plot(tests))
    return path


def write_files(
    directory: Path, name: str, rows: str, facts: str, draw: Callable[[], str]
) -> Written:
    """Write CSV rows, JSON facts and, where it can be drawn, a plot; each file atomically.

    Raises `HostError` for a directory that cannot be written.
    """
    table_file, json_file, plot_file = (
        directory / f"{name}.{suffix}" for suffix in ("csv", "json", "svg")
    )
    durable.write(table_file, rows)
    durable.write(json_file, facts + "\n")
    try:
        drawing = draw()
    except HostError as error:
        return Written(table_file, json_file, None, f"No plot: {error}")
    durable.write(plot_file, drawing)
    return Written(table_file, json_file, plot_file)
