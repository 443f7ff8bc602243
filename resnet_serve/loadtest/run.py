"""`resnet-serve loadtest NAME`: how fast the served model is, and where the time goes.

    find or fetch perf_analyzer ─► measure each concurrency ─► table, CSV, JSON, plot (`results`)

The numbers are perf_analyzer's own. `LoadTest.notes` names what could mislead: client and server
share cores, the windows disagree, a p99 rests on few requests.
"""

from __future__ import annotations

import contextlib
import math
import shlex
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import resnet_serve
from resnet_serve import host as this_host
from resnet_serve.download import Progress
from resnet_serve.host import Host
from resnet_serve.loadtest import offered, perf_analyzer, perf_program
from resnet_serve.loadtest.offered import Offered
from resnet_serve.loadtest.perf_analyzer import Measurement
from resnet_serve.loadtest.perf_report import WINDOWS, Level
from resnet_serve.loadtest.slo import Slo
from resnet_serve.parity import latency, pressure
from resnet_serve.passport.facts import encode
from resnet_serve.triton.client_tls import ClientTls

DEFAULT_URL = "localhost:8001"
DEFAULT_CONCURRENCY = "1:8"
# A spread of the windows above this is noted; perf_analyzer itself calls it unstable.
_SPREAD = 0.10
_REQUESTS_FOR_P99 = 100


@dataclass(frozen=True)
class LoadTest:
    """A measurement, and what is needed to judge and to repeat it.

    `host` is the client's. `same_host` says whether the server runs there too. `notes` are
    sentences for the reader, `command` repeats the test, `taken` is its time (UTC, ISO 8601).
    `pressed` is the share of the ten seconds before it in which tasks of the client's host waited
    for a CPU, None where it is not counted: the test itself loads the CPUs. `slo` is the limit to
    keep, where one was given.
    """

    measurement: Measurement
    host: Host
    same_host: bool
    notes: tuple[str, ...]
    command: str
    taken: str
    pressed: float | None = None
    slo: Slo | None = None

    @property
    def busy(self) -> str | None:
        """Why no throughput is stated as this model's; None where the host was not busy."""
        return latency.busy_before(self.pressed)

    @property
    def model(self) -> str:
        """The name of the served model."""
        return self.measurement.signature.model

    @property
    def levels(self) -> tuple[Level, ...]:
        """The results, one for each concurrency or rate."""
        return self.measurement.levels

    @property
    def best(self) -> Level | None:
        """The level with the highest throughput that keeps the SLO; None where none is stated."""
        stated = [level for level in self.levels if self.busy is None and not level.uneven]
        if self.slo is not None:
            return self.slo.best(stated)
        return max(stated, key=lambda level: level.throughput_per_s, default=None)

    def to_json(self) -> dict[str, object]:
        """The document that `results.write` saves: levels, both hosts' versions, notes, command."""
        measured = self.measurement
        return {
            "model": self.model,
            "version": measured.signature.version,
            "url": measured.url,
            "tls": measured.tls is not None,
            "inputs": measured.inputs,
            "batch_size": measured.batch_size,
            "window_s": measured.window_s,
            "served": encode(measured.served),
            "levels": encode(self.levels),
            "rejected_at": None if measured.rejected is None else str(measured.rejected),
            "client_host": self.host.to_json(),
            "same_host": self.same_host,
            "pressed": self.pressed,
            "not_stated": self.busy,
            "slo": self._slo_json(),
            "notes": list(self.notes),
            "versions": {
                "resnet-serve": resnet_serve.__version__,
                "perf_analyzer": measured.program.version,
                "server": measured.signature.server,
            },
            "command": self.command,
            "taken": self.taken,
        }

    def _slo_json(self) -> dict[str, object] | None:
        if self.slo is None:
            return None
        best = self.slo.best(self.levels)
        return {
            "p99_ms": self.slo.p99_ms,
            "met": [self.slo.met(level) for level in self.levels],
            "best_throughput_per_s": None if best is None else best.throughput_per_s,
        }


def run(
    model: str,
    *,
    url: str = DEFAULT_URL,
    concurrency: str = DEFAULT_CONCURRENCY,
    rate: str | None = None,
    slo: str | None = None,
    images: Path | None = None,
    batch_size: int = 1,
    seconds: float = 6,
    tls: ClientTls | None = None,
    downloading: Progress | None = None,
    started: Callable[[Offered, float], None] | None = None,
    ended: Callable[[Level], None] | None = None,
    cache: Path | None = None,
) -> LoadTest:
    """Load `model` at `url` (gRPC, host:port) with perf_analyzer, about `seconds` per level.

    `concurrency` is `start:end[:step]` or a list, `rate` a list of requests per second in its
    place, `slo` the limit of the p99 (`50ms`); `images` is a file or folder of images to send,
    synthetic ones when None; `tls` encrypts all that is sent; `cache` is where perf_analyzer is
    kept, the user's cache when None. The progress callbacks are `downloading(done_bytes,
    total_bytes)` while perf_analyzer is fetched, and `started(offered, seconds)` and `ended(level)`
    around each level. Raises the errors of `perf_analyzer.measure` and
    `perf_program.find_or_provision`.
    """
    limit = None if slo is None else Slo.parse(slo)
    if rate is None:
        levels = [Offered(each) for each in offered.parse_concurrencies(concurrency)]
    else:
        levels = [Offered(rate_per_s=each) for each in offered.parse_rates(rate)]
    pressed = pressure.lately()
    measured = perf_analyzer.measure(
        model,
        url,
        levels,
        program=lambda: perf_program.find_or_provision(cache, progress=downloading),
        images=images,
        batch_size=batch_size,
        seconds=seconds,
        tls=tls,
        started=started,
        ended=ended,
    )
    command = ["resnet-serve", "loadtest", model, "--url", url]
    command += [] if tls is None else tls.options()
    command += ["--concurrency", concurrency] if rate is None else ["--rate", rate]
    command += [] if slo is None else ["--slo", slo]
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
        pressed,
        limit,
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
    """What a reader of the numbers must know, one sentence each.

    `seconds` is the requested time per level. `shared_cores` is the number of cores that client and
    server share, None on two hosts.
    """
    found = []
    if shared_cores is not None:
        found.append(
            f"Client and server share this host's {shared_cores} cores: they compete for them, "
            "and a client on another host would measure different numbers."
        )
    if measured.program.note is not None:
        found.append(measured.program.note)
    found += measured.crashes
    if measured.window_s * WINDOWS > 1.01 * seconds:
        found.append(
            f"One request takes long, so each level was measured for "
            f"{measured.window_s * WINDOWS:.0f} s instead of {seconds:g} s."
        )
    if measured.rejected is not None:
        found.append(
            f"The server rejected requests at {measured.rejected}, as its queue was full: neither "
            "that nor more was measured."
        )
    by_rate = [level for level in measured.levels if level.rate_per_s is not None]
    behind = [level for level in by_rate if _fell_behind(level, measured)]
    if behind:
        worst = behind[-1]
        found.append(
            f"The server did not keep up at {_listed(behind)}: {worst.throughput_per_s:.1f}/s were "
            "answered, the rest waited."
        )
    uneven = [level for level in measured.levels if level.spread > _SPREAD and level not in by_rate]
    if uneven:
        worst = max(uneven, key=lambda level: level.spread)
        found.append(
            f"Throughput varied by up to {worst.spread:.0%} between the windows "
            f"({_listed(uneven)}): measure for longer, on a quiet host."
        )
    few = [level for level in measured.levels if level.requests < _REQUESTS_FOR_P99]
    if few:
        found.append(
            f"p99 rests on fewer than {_REQUESTS_FOR_P99} requests at {_listed(few)}: "
            "it is close to the slowest request."
        )
    return tuple(found)


def _listed(levels: Sequence[Level]) -> str:
    """concurrency 1, 8, or 20, 40 requests/s."""
    if levels[0].rate_per_s is None:
        return "concurrency " + ", ".join(str(level.concurrency) for level in levels)
    return ", ".join(f"{level.rate_per_s:g}" for level in levels) + " requests/s"


def _fell_behind(level: Level, measured: Measurement) -> bool:
    """Whether fewer requests ended than by chance: Poisson numbers vary by their square root."""
    expected = level.offered.expected(WINDOWS * measured.window_s, 1.0)
    answered = level.throughput_per_s / measured.batch_size * WINDOWS * measured.window_s
    return answered < expected - 3 * math.sqrt(expected)
