"""Load a served model with perf_analyzer, one concurrency after the other, and read its reports.

A closed loop: `concurrency` requests are always in flight. perf_analyzer measures three windows and
reports them merged. It is configured to accept any variation, because it reports no numbers for
what it calls unstable; the throughput of each window is reported instead.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_serve.errors import HostError, ResnetServeError, UsageError
from resnet_serve.loadtest import inputs
from resnet_serve.loadtest.inputs import Samples, Signature
from resnet_serve.loadtest.perf_program import Program
from resnet_serve.loadtest.perf_report import WINDOWS, Level, last_words, read_level

__all__ = ["MAX_CONCURRENCY", "Level", "Measurement", "measure", "parse_concurrencies"]

MAX_CONCURRENCY = 1024
_MAX_WINDOWS = 5
_ANY_VARIATION_PERCENT = 1_000_000
# Several requests must end in a window, or perf_analyzer has nothing to report for it.
_REQUESTS_PER_WINDOW = 4
# prctl(PR_SET_PDEATHSIG, SIGKILL), then exec the program: it ends even when we are killed.
_END_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)


@dataclass(frozen=True)
class Measurement:
    """The levels of one model under one kind of request.

    `inputs` describes the requests, `window_s` is the length of a window in seconds.
    """

    signature: Signature
    url: str
    batch_size: int
    inputs: str
    window_s: float
    program: Program
    levels: tuple[Level, ...]


def parse_concurrencies(text: str) -> tuple[int, ...]:
    """The concurrencies of `start:end[:step]`, both ends included, or of a list `1,2,4,8`.

    They are in increasing order, each once. Raises `UsageError` for another text.
    """
    try:
        numbers = [int(part) for part in re.split("[:,]", text)]
    except ValueError as error:
        raise _bad_concurrencies(text, "not numbers") from error
    if ":" in text and ("," in text or len(numbers) > 3):
        raise _bad_concurrencies(text, "neither a range nor a list")
    if min(numbers) < 1 or max(numbers) > MAX_CONCURRENCY:
        raise _bad_concurrencies(text, f"not between 1 and {MAX_CONCURRENCY}")
    if ":" not in text:
        return tuple(sorted(set(numbers)))
    start, end, step = (*numbers, 1)[:3]
    if end < start:
        raise _bad_concurrencies(text, "the range ends before it starts")
    return tuple(range(start, end + 1, step))


def _bad_concurrencies(text: str, reason: str) -> UsageError:
    return UsageError(
        f"cannot read the concurrencies {text!r}: {reason}",
        remedy="Write 1:8, 1:8:2 (start:end:step) or 1,2,4,8.",
    )


def measure(
    model: str,
    url: str,
    concurrencies: Sequence[int],
    *,
    program: Callable[[], Program],
    images: Path | None = None,
    batch_size: int = 1,
    seconds: float = 6,
    started: Callable[[int, float], None] | None = None,
    ended: Callable[[Level], None] | None = None,
) -> Measurement:
    """Measure `model` at `url` (gRPC, host:port) at each of `concurrencies`.

    A level takes about `seconds`, more where one request takes long. `images` is a file or folder
    of images to send; synthetic ones when None. `started(concurrency, seconds)` and `ended(level)`
    are progress callbacks. `program` is called only after the server has accepted a request, so
    that nothing is downloaded for a misspelt name. Raises `HostError`, `UsageError`, or
    `ResnetServeError` with the message of the server or of perf_analyzer.
    """
    signature = inputs.describe(url, model)
    if not 1 <= batch_size <= max(1, signature.max_batch_size):
        raise UsageError(
            f"a batch of {batch_size} is not possible: the model accepts 1 to "
            f"{max(1, signature.max_batch_size)}",
            where=model,
        )
    if not 0 < seconds <= 3600:
        raise UsageError(f"cannot measure for {seconds:g} s", remedy="Give 1 to 3600 seconds.")
    samples = inputs.samples(signature, images)
    request_s = inputs.request_s(url, signature, samples, batch_size)
    window_s = max(seconds / WINDOWS, _REQUESTS_PER_WINDOW * request_s)
    analyzer = program()
    levels = []
    for concurrency in concurrencies:
        if started is not None:
            started(concurrency, WINDOWS * window_s)
        timeout_s = 30 + _MAX_WINDOWS * window_s + 3 * concurrency * request_s
        load = _Load(signature, url, samples, batch_size, concurrency, window_s, timeout_s)
        levels.append(_level(analyzer, load))
        if ended is not None:
            ended(levels[-1])
    return Measurement(
        signature, url, batch_size, samples.description, window_s, analyzer, tuple(levels)
    )


@dataclass(frozen=True)
class _Load:
    signature: Signature
    url: str
    samples: Samples
    batch_size: int
    concurrency: int
    window_s: float
    timeout_s: float

    def arguments(self, inputs: Path, report: Path) -> list[str]:
        words = ["-m", self.signature.model, "-x", self.signature.version]
        words += ["-i", "grpc", "-u", self.url]
        words += ["--input-data", str(inputs), "-b", str(self.batch_size)]
        words += ["--concurrency-range", str(self.concurrency)]
        words += ["--measurement-mode", "time_windows", "-p", str(round(self.window_s * 1000))]
        words += ["-s", str(_ANY_VARIATION_PERCENT), "-r", str(_MAX_WINDOWS)]
        return [*words, "-v", "--verbose-csv", "-f", str(report)]


def _level(program: Program, load: _Load) -> Level:
    with tempfile.TemporaryDirectory(prefix="resnet-serve-loadtest-") as folder:
        inputs, report = Path(folder) / "inputs.json", Path(folder) / "report.csv"
        inputs.write_text(load.samples.to_json(load.signature))
        printed = _run(program, load, load.arguments(inputs, report))
        table = report.read_text() if report.is_file() else ""
    return read_level(table, printed)


def _run(program: Program, load: _Load, arguments: list[str]) -> str:
    """The output of perf_analyzer, which ends whenever this process ends."""
    process = subprocess.Popen(
        [sys.executable, "-ISc", _END_WITH_PARENT, str(os.getpid()), str(program.path), *arguments],
        env=program.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        # A session of its own: on Ctrl-C it would finish its window first.
        start_new_session=True,
    )
    try:
        printed, messages = process.communicate(timeout=load.timeout_s)
    except subprocess.TimeoutExpired as error:
        raise ResnetServeError(
            f"perf_analyzer did not end within {load.timeout_s:.0f} s at concurrency "
            f"{load.concurrency}",
            where=load.signature.model,
            remedy="The server may hang; see its log.",
        ) from error
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        raise _failure(load, messages or printed, process.returncode)
    return printed


def _failure(load: _Load, messages: str, status: int) -> ResnetServeError:
    where = f"{load.signature.model} at concurrency {load.concurrency}"
    reason = last_words(messages) or f"it ended with status {status}"
    if "No valid requests" in reason:
        return UsageError(
            f"no request ended within a window of {load.window_s:.1f} s",
            where=where,
            remedy="Give more --seconds.",
        )
    if re.search("failed to connect|Socket closed|unavailable", reason, re.IGNORECASE):
        return HostError(
            f"the server at {load.url} ended ({reason})",
            where=where,
            remedy="See its log, and start it again with `resnet-serve up`.",
        )
    return ResnetServeError(f"perf_analyzer failed: {reason}", where=where)
