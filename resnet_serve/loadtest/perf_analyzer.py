"""Load a served model with perf_analyzer, one level after the other, and read its reports.

A level is a number of requests in flight or a rate (`offered`). perf_analyzer measures three
windows and reports them merged. It is configured to accept any variation, because it reports no
numbers for what it calls unstable; the throughput of each window is reported instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from resnet_serve.errors import UnavailableError, UsageError
from resnet_serve.loadtest import executions, inputs, perf_process
from resnet_serve.loadtest.executions import Served
from resnet_serve.loadtest.inputs import Samples, Signature
from resnet_serve.loadtest.offered import Offered
from resnet_serve.loadtest.perf_process import MAX_WINDOWS, Load
from resnet_serve.loadtest.perf_program import Program
from resnet_serve.loadtest.perf_report import WINDOWS, Level
from resnet_serve.triton.client_tls import ClientTls

__all__ = ["Level", "Measurement", "Source", "measure"]

# Several requests must end in a window, or perf_analyzer has nothing to report for it.
_REQUESTS_PER_WINDOW = 4
_ARRIVALS_PER_WINDOW = 10  # of a Poisson process: a window without one is then one of 22,000


@dataclass(frozen=True)
class Measurement:
    """The levels of one model under one kind of request.

    `inputs` describes the requests, `window_s` is the length of the longest window in seconds.
    `served` are the models that a request passes, in this order. `rejected` is the level at which
    the server's queue was full, with which the measurement ended. `crashes` says at which levels
    perf_analyzer had to be run again.
    """

    signature: Signature
    url: str
    batch_size: int
    inputs: str
    window_s: float
    program: Program
    levels: tuple[Level, ...]
    served: tuple[Served, ...] = ()
    rejected: Offered | None = None
    crashes: tuple[str, ...] = ()
    tls: ClientTls | None = None


@dataclass(frozen=True)
class Source:
    """The requests to one served model, and the seconds that one takes on the idle server."""

    signature: Signature
    url: str
    samples: Samples
    batch_size: int
    request_s: float
    tls: ClientTls | None = None

    @classmethod
    def of(
        cls,
        url: str,
        model: str,
        images: Path | None = None,
        batch_size: int = 1,
        tls: ClientTls | None = None,
    ) -> Source:
        """Ask the server at `url` about `model`, and try one request.

        Raises `UnavailableError`, `UsageError` or the error of `server_error`.
        """
        signature = inputs.describe(url, model, tls=tls)
        if not 1 <= batch_size <= max(1, signature.max_batch_size):
            raise UsageError(
                f"a batch of {batch_size} is not possible: the model accepts 1 to "
                f"{max(1, signature.max_batch_size)}",
                where=model,
            )
        samples = inputs.samples(signature, images)
        request_s = inputs.request_s(url, signature, samples, batch_size, tls=tls)
        return cls(signature, url, samples, batch_size, request_s, tls)

    def load(self, offered: Offered, seconds: float) -> Load:
        """One level of about `seconds`, longer where fewer requests would end in a window."""
        window_s = max(seconds / WINDOWS, _REQUESTS_PER_WINDOW * self.request_s)
        waiting = offered.concurrency or 0
        if offered.rate_per_s is not None:
            window_s = max(window_s, _ARRIVALS_PER_WINDOW / offered.rate_per_s)
            # What waits at the end of a rate that the server cannot do.
            waiting = round(offered.expected(MAX_WINDOWS * window_s, self.request_s))
        timeout_s = 30 + MAX_WINDOWS * window_s + 3 * waiting * self.request_s
        return Load(
            self.signature,
            self.url,
            self.samples,
            self.batch_size,
            offered,
            window_s,
            timeout_s,
            self.tls,
        )


def measure(
    model: str,
    url: str,
    offered: Sequence[Offered],
    *,
    program: Callable[[], Program],
    images: Path | None = None,
    batch_size: int = 1,
    seconds: float = 6,
    tls: ClientTls | None = None,
    started: Callable[[Offered, float], None] | None = None,
    ended: Callable[[Level], None] | None = None,
) -> Measurement:
    """Measure `model` at `url` (gRPC, host:port; with TLS or without) at each `offered` level.

    A level takes about `seconds`, more where one request takes long. `images` is a file or folder
    of images to send; synthetic ones when None. `started(offered, seconds)` and `ended(level)`
    are progress callbacks. `program` is called only after the server has accepted a request, so
    that nothing is downloaded for a misspelt name. A level at which the server rejects requests is
    the last one, and raises `UnavailableError` where it is the first. Raises `HostError`,
    `UsageError`, or `ResnetServeError` with the message of the server or of perf_analyzer.
    """
    if not 0 < seconds <= 3600:
        raise UsageError(f"cannot measure for {seconds:g} s", remedy="Give 1 to 3600 seconds.")
    source = Source.of(url, model, images, batch_size, tls)
    analyzer = program()
    served = executions.served(url, model, tls)
    levels: list[Level] = []
    crashes: list[str] = []
    longest_s, rejected = 0.0, None
    for each in offered:
        load = source.load(each, seconds)
        longest_s = max(longest_s, load.window_s)
        if started is not None:
            started(each, WINDOWS * load.window_s)
        try:
            found = perf_process.tried(partial(_level, analyzer, load, served), crashes.append)
        except UnavailableError:
            if not levels:
                raise
            rejected = each
            break
        levels.append(found)
        if ended is not None:
            ended(found)
    return Measurement(
        source.signature,
        url,
        batch_size,
        source.samples.description,
        longest_s,
        analyzer,
        tuple(levels),
        served,
        rejected,
        tuple(crashes),
        tls,
    )


def _level(analyzer: Program, load: Load, served: Sequence[Served]) -> Level:
    """One level, with what the server ran meanwhile."""
    with executions.watch(load.url, served, load.tls) as watched:
        found = perf_process.run(analyzer, load)
    assert isinstance(found, Level)  # noqa: S101 - nothing stops it
    return replace(found, executed=watched.executed())
