"""The reports of perf_analyzer: its CSV, its printed report and its error messages.

The CSV (`-f`, `--verbose-csv`) has throughput, latency and the server's times. The printed report
has what the CSV lacks: the number of requests, the throughput of each window, and the queue time,
which the CSV counts as network time for an ensemble.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from resnet_serve.errors import ResnetServeError
from resnet_serve.loadtest.executions import Executed
from resnet_serve.loadtest.offered import Offered
from resnet_serve.parity.latency import WIDE

WINDOWS = 3


@dataclass(frozen=True)
class Level:
    """The results at one concurrency or rate: images per second, latency, parts of a mean request.

    Of `concurrency` and `rate_per_s` one is None.
    `client_network_ms` is the mean latency minus queue and compute: serialising, network,
    receiving. For an ensemble, queue and compute are sums over its models. `executed` is what the
    server ran meanwhile, by its own statistics.
    """

    concurrency: int | None
    requests: int
    throughput_per_s: float
    window_throughputs_per_s: tuple[float, ...]
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    client_network_ms: float
    queue_ms: float
    compute_input_ms: float
    compute_infer_ms: float
    compute_output_ms: float
    rate_per_s: float | None = None
    executed: tuple[Executed, ...] = ()

    @property
    def offered(self) -> Offered:
        """What was offered."""
        return Offered(self.concurrency, self.rate_per_s)

    @property
    def compute_ms(self) -> float:
        """Input copy, inference and output copy together."""
        return self.compute_input_ms + self.compute_infer_ms + self.compute_output_ms

    @property
    def spread(self) -> float:
        """(max − min) / mean throughput over the windows, as a measure of repeatability."""
        windows = self.window_throughputs_per_s
        return (max(windows) - min(windows)) * len(windows) / sum(windows)

    @property
    def uneven(self) -> bool:
        """Whether the windows differ by too much to state one throughput.

        With a rate they do: its requests are sent at random moments.
        """
        if self.rate_per_s is not None:
            return False
        windows = self.window_throughputs_per_s
        return not max(windows) <= WIDE * min(windows)


_US_COLUMNS = {
    "mean_ms": "Avg latency",
    "p50_ms": "p50 latency",
    "p90_ms": "p90 latency",
    "p95_ms": "p95 latency",
    "p99_ms": "p99 latency",
    "compute_input_ms": "Server Compute Input",
    "compute_infer_ms": "Server Compute Infer",
    "compute_output_ms": "Server Compute Output",
}


def read_level(table: str, printed: str) -> Level:
    """One level, from the CSV (`table`) and the printed report (`printed`) of perf_analyzer.

    Raises `ResnetServeError` with what is missing, as other releases may print other words.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(table)))
        if len(rows) != 1:
            raise ValueError(f"{len(rows)} rows instead of one")
        row = rows[0]
        rate = float(row["Request Rate"]) if "Request Rate" in row else None
        concurrency = int(row["Concurrency"]) if rate is None else None
        throughput = float(row["Inferences/Second"])
        ms = {name: float(row[column]) / 1000 for name, column in _US_COLUMNS.items()}
        requests = int(_printed(r"Request count: (\d+)", printed)[0])
        windows = _printed(r"Pass \[\d+\] throughput: (\S+) infer/sec", printed)
        queue_ms = float(_printed(r"Avg request latency: .*?queue (\d+) usec", printed)[0]) / 1000
    except (csv.Error, KeyError, ValueError, TypeError) as error:
        raise ResnetServeError(
            f"cannot read the report of perf_analyzer ({error})",
            remedy="Another release may write it differently; remove the one on PATH.",
        ) from error
    compute_ms = sum(ms[f"compute_{part}_ms"] for part in ("input", "infer", "output"))
    return Level(
        concurrency=concurrency,
        requests=requests,
        throughput_per_s=throughput,
        window_throughputs_per_s=tuple(float(window) for window in windows[-WINDOWS:]),
        # Client and server average over slightly different requests: it may be slightly below 0.
        client_network_ms=max(0.0, ms["mean_ms"] - queue_ms - compute_ms),
        queue_ms=queue_ms,
        rate_per_s=rate,
        executed=(),
        **ms,
    )


def _printed(pattern: str, text: str) -> list[str]:
    found = re.findall(pattern, text)
    if not found:
        raise ValueError(f"nothing printed matches {pattern!r}")
    return [str(group) for group in found]


def last_words(messages: str) -> str:
    """The reason in perf_analyzer's messages: a thread's error, `error: …`, or the last line."""
    for pattern in (r"Thread \[\d+\] had error: (.+)", r"error: (.+)"):
        if found := re.findall(pattern, messages):
            return str(found[-1]).removeprefix("[request id: <id_unknown>] ").strip()
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    return lines[-1] if lines else ""
