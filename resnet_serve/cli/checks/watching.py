"""The rounds of `verify --watch` on the screen, on a schedule, and as metrics."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

from resnet_serve import console, durable, prometheus
from resnet_serve.errors import HostError, UsageError
from resnet_serve.verification.watch import Watch

EVERY = "5m"
LOOPBACK = "127.0.0.1"
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
_SUFFIX = ".prom"  # node_exporter reads no other files


def seconds(text: str) -> float:
    """The seconds of `30s`, `5m` or `1h`; raises `UsageError` for anything else, and below 1."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    value = float(found[1]) * _UNITS_S[found[2]] if found else 0.0
    if value < 1:
        raise UsageError(
            f"--every {text!r} is not a time of at least a second",
            remedy="Give a number with s, m or h, such as 30s, 5m or 1h.",
        )
    return value


def run(
    watch: Watch,
    *,
    every_s: float,
    metrics_port: int | None,
    metrics_file: Path | None,
    as_json: bool,
) -> None:
    """A line per round until Ctrl-C or SIGTERM, then the summary.

    Raises `ParityError` then if a round missed, and else `HostError` if one failed; `UsageError`
    and `HostError` at once for metrics that cannot be had.
    """
    if metrics_file is not None and metrics_file.suffix != _SUFFIX:
        raise UsageError(
            f"node_exporter reads only files that end in {_SUFFIX}",
            where=metrics_file,
            remedy=f"Give --metrics-file {metrics_file.with_suffix(_SUFFIX)}.",
        )
    _export(watch, metrics_file)
    if metrics_port is not None:
        _serve(watch, metrics_port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            started = time.monotonic()
            done = watch.round()
            if as_json:
                console.show_json(done.to_json(), indent=None)
            else:
                console.out.print(str(done), soft_wrap=True, markup=False)
            try:
                _export(watch, metrics_file)
            except HostError as error:  # a full disk, until there is space again
                console.warn(str(error))
            time.sleep(max(0.0, started + every_s - time.monotonic()))
    except KeyboardInterrupt:
        if not as_json:
            console.out.print(str(watch.tally), soft_wrap=True, markup=False)
    watch.tally.require()


def _text(watch: Watch) -> str:
    return prometheus.text(watch.tally.families())


def _export(watch: Watch, file: Path | None) -> None:
    if file is not None:
        durable.write(file, _text(watch))


def _serve(watch: Watch, port: int) -> None:
    try:
        found = prometheus.serve(LOOPBACK, port, lambda: _text(watch))
    except OSError as error:
        raise HostError(
            f"port {port} of the metrics: {(error.strerror or str(error)).lower()}",
            where=LOOPBACK,
            remedy="Give another one, or --metrics-port 0 for any.",
        ) from error
    console.err.print(f"metrics at http://{LOOPBACK}:{found}/metrics", soft_wrap=True)
