"""`resnet-serve loadtest NAME`: how fast the served model is, and where the time goes.

    find or provision perf_analyzer ─► measure each concurrency ─► table, CSV, plot, JSON

The figures are perf_analyzer's own. What could mislead (client and server sharing cores, windows
that disagree, a p99 over few requests) is said in `LoadTest.notes`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shlex
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich import box
from rich.table import Table

import resnet_serve
from resnet_serve import durable
from resnet_serve import host as this_host
from resnet_serve.download import Progress
from resnet_serve.errors import HostError
from resnet_serve.host import Host
from resnet_serve.loadtest import perf_analyzer, perf_program
from resnet_serve.loadtest.perf_analyzer import Measurement
from resnet_serve.loadtest.perf_report import WINDOWS, Level
from resnet_serve.optional import optional

matplotlib = optional("matplotlib", extra="plot")
matplotlib_figure = optional("matplotlib.figure", extra="plot")

DEFAULT_URL = "localhost:8001"
# Over this the windows disagree enough to be said aloud; perf_analyzer itself calls it unstable.
_SPREAD = 0.10
_REQUESTS_FOR_P99 = 100

COLUMNS = {
    "model": "the model's name on the server",
    "version": "the version that answered",
    "batch_size": "images in one request",
    "concurrency": "requests in flight at any moment",
    "requests": "requests that ended while measuring",
    "throughput_per_s": "images per second",
    "throughput_min_per_s": "images per second in the slowest window",
    "throughput_max_per_s": "images per second in the fastest window",
    "mean_ms": "mean latency of a request, seen by the client",
    "p50_ms": "median latency",
    "p90_ms": "90th percentile of the latency",
    "p95_ms": "95th percentile of the latency",
    "p99_ms": "99th percentile of the latency",
    "client_network_ms": "share of the mean outside the server's queue and compute",
    "queue_ms": "share of the mean spent waiting for an instance or a batch",
    "compute_input_ms": "share of the mean spent copying the input",
    "compute_infer_ms": "share of the mean spent in the backend",
    "compute_output_ms": "share of the mean spent copying the output",
}


@dataclass(frozen=True)
class LoadTest:
    """A measurement with what is needed to judge and to repeat it."""

    measurement: Measurement
    host: Host
    same_host: bool
    notes: tuple[str, ...]
    command: str
    taken: str

    @property
    def model(self) -> str:
        return self.measurement.signature.model

    @property
    def levels(self) -> tuple[Level, ...]:
        return self.measurement.levels

    @property
    def best(self) -> Level:
        """The level of the highest throughput."""
        return max(self.levels, key=lambda level: level.throughput_per_s)

    def to_json(self) -> dict[str, object]:
        measured = self.measurement
        return {
            "model": self.model,
            "version": measured.signature.version,
            "url": measured.url,
            "inputs": measured.inputs,
            "batch_size": measured.batch_size,
            "window_s": measured.window_s,
            "levels": [asdict(level) for level in self.levels],
            "client_host": self.host.to_json(),
            "same_host": self.same_host,
            "notes": list(self.notes),
            "versions": {
                "resnet-serve": resnet_serve.__version__,
                "perf_analyzer": measured.program.version,
                "server": measured.signature.server,
            },
            "command": self.command,
            "taken": self.taken,
        }


@dataclass(frozen=True)
class Written:
    """The files of one load test; `note` says why there is no plot, when there is none."""

    csv: Path
    json: Path
    plot: Path | None
    note: str | None = None


def run(
    model: str,
    *,
    url: str = DEFAULT_URL,
    concurrency: str = "1:8",
    images: Path | None = None,
    batch_size: int = 1,
    seconds: float = 6,
    downloading: Progress | None = None,
    started: Callable[[int, float], None] | None = None,
    ended: Callable[[Level], None] | None = None,
    cache: Path | None = None,
) -> LoadTest:
    """Load `model` at `url` (gRPC, host:port) with perf_analyzer, about `seconds` per concurrency.

    `concurrency` is `start:end[:step]` or a list; `images` a file or folder of images to send.
    `downloading(done_bytes, total_bytes)` is called while perf_analyzer is provisioned,
    `started(concurrency, seconds)` and `ended(level)` around each level.
    """
    concurrencies = perf_analyzer.parse_concurrencies(concurrency)
    measured = perf_analyzer.measure(
        model,
        url,
        concurrencies,
        program=lambda: perf_program.find_or_provision(cache, progress=downloading),
        images=images,
        batch_size=batch_size,
        seconds=seconds,
        started=started,
        ended=ended,
    )
    command = ["resnet-serve", "loadtest", model, "--url", url, "--concurrency", concurrency]
    command += ["--batch-size", str(batch_size), "--seconds", f"{seconds:g}"]
    command += [] if images is None else ["--image", str(images)]
    described, same_host = this_host.describe(), is_this_host(url)
    return LoadTest(
        measured,
        described,
        same_host,
        notes(measured, seconds, described.cores if same_host else None),
        shlex.join(command),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def is_this_host(url: str) -> bool:
    """Whether host:port is an address of this machine: a socket can be bound to it."""
    name = url.rpartition(":")[0].strip("[]")
    with contextlib.suppress(OSError, UnicodeError):
        for family, kind, _, _, address in socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM):
            with contextlib.suppress(OSError), socket.socket(family, kind) as probe:
                probe.bind((address[0], 0))
                return True
    return False


def notes(measured: Measurement, seconds: float, shared_cores: int | None) -> tuple[str, ...]:
    """What a reader of the figures must know, one sentence each.

    `shared_cores` is the number of cores client and server compete for, None on two hosts.
    """
    said = []
    if shared_cores is not None:
        said.append(
            f"Client and server share this host's {shared_cores} cores: they compete for them, "
            "and a client elsewhere would see other figures."
        )
    if measured.program.note is not None:
        said.append(measured.program.note)
    if measured.window_s * WINDOWS > 1.01 * seconds:
        said.append(
            f"One request takes long: each level was measured for "
            f"{measured.window_s * WINDOWS:.0f} s instead of {seconds:g} s."
        )
    uneven = [level for level in measured.levels if level.spread > _SPREAD]
    if uneven:
        worst = max(uneven, key=lambda level: level.spread)
        said.append(
            f"Throughput varied by up to {worst.spread:.0%} between the windows (concurrency "
            f"{_listed(uneven)}): measure for longer, on a quiet host."
        )
    few = [level for level in measured.levels if level.requests < _REQUESTS_FOR_P99]
    if few:
        said.append(
            f"p99 rests on fewer than {_REQUESTS_FOR_P99} requests at concurrency {_listed(few)}: "
            "it is nearly the slowest request seen."
        )
    return tuple(said)


def _listed(levels: Sequence[Level]) -> str:
    return ", ".join(str(level.concurrency) for level in levels)


def table(test: LoadTest) -> Table:
    """One row per concurrency: throughput, latency, and where a mean request's time goes."""
    measured = test.measurement
    drawn = Table(
        title=f"{test.model} version {measured.signature.version}, batch {measured.batch_size}",
        caption=f"{measured.inputs}; perf_analyzer {measured.program.version}",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
    )
    for heading in ("concur-\nrency", "images\n/s", "spread"):
        drawn.add_column(heading, justify="right")
    for heading in ("p50", "p90", "p95", "p99"):
        drawn.add_column(f"{heading}\nms", justify="right")
    for heading in ("client,\nnet ms", "queue\nms", "compute\nms"):
        drawn.add_column(heading, justify="right", style="cyan")
    for level in test.levels:
        times_ms = (level.p50_ms, level.p90_ms, level.p95_ms, level.p99_ms)
        shares_ms = (level.client_network_ms, level.queue_ms, level.compute_ms)
        drawn.add_row(
            str(level.concurrency),
            f"{level.throughput_per_s:.1f}",
            f"{level.spread:.0%}",
            *(f"{value:.1f}" for value in (*times_ms, *shares_ms)),
            style="bold" if level is test.best and len(test.levels) > 1 else "",
        )
    return drawn


def to_csv(test: LoadTest) -> str:
    """The levels under the stable `COLUMNS`."""
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


def plot(tests: Sequence[LoadTest]) -> str:
    """Latency (p50 and p99) over throughput, one colour per model, as SVG text."""
    figure = matplotlib_figure.Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for number, test in enumerate(tests):
        throughput = [level.throughput_per_s for level in test.levels]
        for percentile, style in (("p50_ms", "o-"), ("p99_ms", "o--")):
            latency = [getattr(level, percentile) for level in test.levels]
            label = f"{test.model} {percentile.removesuffix('_ms')}"
            axes.plot(throughput, latency, style, color=f"C{number}", markersize=4, label=label)
        for level in test.levels:
            at = (level.throughput_per_s, level.p50_ms)
            axes.annotate(
                str(level.concurrency), at, (0, 5), textcoords="offset points", fontsize=8
            )
    axes.set(xlabel="throughput, images/s", ylabel="latency, ms", xlim=(0, None), ylim=(0, None))
    axes.set_title("The numbers at the points are concurrencies", fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend()
    file = io.StringIO()
    # A fixed salt and no date: the same figures give the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "resnet-serve"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def write(test: LoadTest, directory: Path) -> Written:
    """Write `loadtest-<model>.csv`, `.json` and `.svg`, each replaced whole."""
    table_file, json_file, plot_file = (
        directory / f"loadtest-{test.model}.{suffix}" for suffix in ("csv", "json", "svg")
    )
    durable.write(table_file, to_csv(test))
    durable.write(json_file, json.dumps(test.to_json(), indent=2) + "\n")
    try:
        drawing = plot([test])
    except HostError as error:
        return Written(table_file, json_file, None, f"No plot: {error}")
    durable.write(plot_file, drawing)
    return Written(table_file, json_file, plot_file)
