"""One run of perf_analyzer: its process, its windows while they end, and why it failed.

The process ends with this one, for any reason. What it prints after each window is handed to a
caller, who may stop the run: the first window often shows that the rest is not worth its time.
Now and then perf_analyzer itself crashes, whatever it measures: `tried` runs it once more.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from resnet_serve.errors import (
    HostError,
    ResnetServeError,
    UnavailableError,
    UsageError,
    unreachable,
)
from resnet_serve.loadtest.inputs import Samples, Signature
from resnet_serve.loadtest.offered import Offered
from resnet_serve.loadtest.perf_program import Program
from resnet_serve.loadtest.perf_report import Level, last_words, read_level
from resnet_serve.triton.client_tls import ClientTls

MAX_WINDOWS = 5
_ANY_VARIATION_PERCENT = 1_000_000
_WINDOW = re.compile(r"\s*Pass \[\d+\] throughput: (\S+) infer/sec\. Avg latency: (\d+) usec")
_CRASHES = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV)
_Result = TypeVar("_Result")
# prctl(PR_SET_PDEATHSIG, SIGKILL), then exec the program: it ends even when we are killed.
_END_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)


class CrashedError(ResnetServeError):
    """perf_analyzer was ended by a signal of its own, such as SIGSEGV."""


@dataclass(frozen=True)
class Window:
    """What perf_analyzer prints of a window as soon as it ends."""

    throughput_per_s: float
    mean_ms: float


@dataclass(frozen=True)
class Load:
    """One run: what is sent where, how much of it, and the seconds of a window."""

    signature: Signature
    url: str
    samples: Samples
    batch_size: int
    offered: Offered
    window_s: float
    timeout_s: float
    tls: ClientTls | None = None

    def arguments(self, inputs: Path, report: Path) -> list[str]:
        """The command line of perf_analyzer, without its own name."""
        words = ["-m", self.signature.model, "-x", self.signature.version]
        words += ["-i", "grpc", "-u", self.url]
        words += _encrypted(self.tls)
        words += ["--input-data", str(inputs), "-b", str(self.batch_size)]
        words += self.offered.arguments()
        words += ["--measurement-mode", "time_windows", "-p", str(round(self.window_s * 1000))]
        words += ["-s", str(_ANY_VARIATION_PERCENT), "-r", str(MAX_WINDOWS)]
        return [*words, "-v", "--verbose-csv", "-f", str(report)]


def _encrypted(tls: ClientTls | None) -> list[str]:
    if tls is None:
        return []
    files = {
        "--ssl-grpc-root-certifications-file": tls.authority,
        "--ssl-grpc-certificate-chain-file": tls.certificate,
        "--ssl-grpc-private-key-file": tls.key,
    }
    given = [word for name, path in files.items() if path for word in (name, str(path))]
    return ["--ssl-grpc-use-ssl", *given]


def tried(attempt: Callable[[], _Result], say: Callable[[str], object]) -> _Result:
    """What `attempt` returns, of a second one where perf_analyzer crashed in the first.

    `say` is told of that. Raises what the last attempt raises.
    """
    try:
        return attempt()
    except CrashedError as error:
        say(f"{error}; it was run again")
    return attempt()


def run(
    program: Program, load: Load, stop: Callable[[Window], bool] = lambda _: False
) -> Level | Window:
    """The level that perf_analyzer reports, or the window after which `stop` ended it.

    Raises `HostError` where the server ends, `UnavailableError` where its queue is full,
    `CrashedError`, and `ResnetServeError` with perf_analyzer's own reason.
    """
    with tempfile.TemporaryDirectory(prefix="resnet-serve-loadtest-") as folder:
        inputs, report = Path(folder) / "inputs.json", Path(folder) / "report.csv"
        inputs.write_text(load.samples.to_json(load.signature))
        with (Path(folder) / "messages").open("w+") as messages:
            printed, stopped = _printed(
                program, load, load.arguments(inputs, report), messages, stop
            )
        if stopped is not None:
            return stopped
        table = report.read_text() if report.is_file() else ""
    return read_level(table, printed)


def _printed(
    program: Program,
    load: Load,
    arguments: list[str],
    messages: IO[str],
    stop: Callable[[Window], bool],
) -> tuple[str, Window | None]:
    process = subprocess.Popen(
        [sys.executable, "-ISc", _END_WITH_PARENT, str(os.getpid()), str(program.path), *arguments],
        env=program.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=messages,
        text=True,
        errors="replace",
        # A session of its own: on Ctrl-C it would finish its window first.
        start_new_session=True,
    )
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(load.timeout_s, end)
    timer.start()
    lines: list[str] = []
    try:
        for line in process.stdout or ():
            lines.append(line)
            ended = _WINDOW.match(line)
            if ended is not None:
                window = Window(float(ended[1]), int(ended[2]) / 1000)
                if stop(window):
                    return "".join(lines), window
        process.wait()
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if late.is_set():
        raise ResnetServeError(
            f"perf_analyzer did not end within {load.timeout_s:.0f} s at {load.offered}",
            where=load.signature.model,
            remedy="The server may hang; see its log.",
        )
    if process.returncode != 0:
        messages.seek(0)
        raise _failure(load, messages.read() or "".join(lines), process.returncode)
    return "".join(lines), None


def _failure(load: Load, messages: str, status: int) -> ResnetServeError:
    where = f"{load.signature.model} at {load.offered}"
    if -status in _CRASHES:
        name = signal.Signals(-status).name
        return CrashedError(f"perf_analyzer crashed (signal {-status}, {name})", where=where)
    reason = last_words(messages) or f"it ended with status {status}"
    if "No valid requests" in reason:
        return UsageError(
            f"no request ended within a window of {load.window_s:.1f} s",
            where=where,
            remedy="Give more --seconds.",
        )
    if "queue size" in reason:
        return UnavailableError(
            f"the server rejected a request, as its queue was full ({reason})",
            where=where,
            remedy="Offer less, or convert the model again with a larger --max-queue.",
        )
    if load.tls is not None and "certificate verify failed" in reason:
        # Where this host has no list of authorities, our client trusts that of gRPC's package.
        return unreachable(load.url, reason, certified=load.tls.certified)
    if re.search("failed to connect|Socket closed|unavailable", reason, re.IGNORECASE):
        # gRPC names one of the host's addresses, at which the server need not have been.
        detail = "no connection" if "failed to connect" in reason.lower() else reason
        return HostError(
            f"the server at {load.url} ended ({detail})",
            where=where,
            remedy="See its log, and start it again with `resnet-serve up`.",
        )
    return ResnetServeError(f"perf_analyzer failed: {reason}", where=where)
