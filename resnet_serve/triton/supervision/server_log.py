"""The log of tritonserver: which models it has loaded, and its own reason for a failure.

I1121 00:08:01.628028 8302 model_lifecycle.cc:839] "successfully loaded 'resnet50'"
E1121 00:08:01.715980 8302 model_lifecycle.cc:642] "failed to load 'x' version 1: Internal: …"
"""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

from resnet_serve.triton.supervision.log_file import LogFile
from resnet_serve.triton.supervision.program.child import how_it_ended, signal_of

STARTING = "starting"
_START = f"resnet-serve: {STARTING}"
_LINE = re.compile(r'^[IWE]\d{4} \S+ +\d+ \S+\] "(?P<text>.*)"$', re.MULTILINE)
_LOADING = re.compile(r"loading: (?P<model>.+):\d+")
_LOADED = re.compile(r"successfully loaded '(?P<model>.+)'")
_FAILED = (
    re.compile(r"failed to load '(?P<model>.+?)' version \d+: (?P<why>.*)", re.DOTALL),
    re.compile(r"failed to load model '(?P<model>.+?)': (?P<why>.*)", re.DOTALL),
    re.compile(r"Poll failed for model directory '(?P<model>.+?)': (?P<why>.*)", re.DOTALL),
    re.compile(r"[\w ]+: (?P<why>ensemble '?(?P<model>[^' ]+)'? .*)", re.DOTALL),
)
_PARSER = re.compile(r"^\[libprotobuf ERROR [^\]]*\] (?P<why>.*)$", re.MULTILINE)
_FATAL = re.compile(r"^(?:E\d{4}.*\] \"?(?=failed to start)|error: )(?P<why>.*?)\"?$", re.MULTILINE)
_DEPENDS = re.compile(r"depends on '(?P<model>.+?)' which has no loaded version")
_STATUS = re.compile(r"^(Internal|Invalid argument|Unavailable|Not found|Unsupported|Unknown): ")
_EXCEPTION = re.compile(r"^([\w.]*(Error|Exception)): ")
_PORT_IN_USE = re.compile(r"Socket '(?P<socket>[^']+)' already in use")
# The server then waits forever for its stub.
_STUB_FAILED = re.compile(
    r"^(?P<why>Failed to run python backend stub.*|\S*triton_python_backend_stub: .*)$",
    re.MULTILINE,
)
# The backend process has died, or stood still for a second.
_STUB_NOT_HEALTHY = re.compile(r"Stub process '.*' is not healthy")
_ENDED_BY_US = re.compile(r"^resnet-serve: (?P<why>.*): the server is ended$", re.MULTILINE)
# Lines that every host without a GPU logs, and others that explain no failure.
_NOISE = re.compile(r"CudaDriverHelper|NVML|DCGM|pinned|\| |^\+|^resnet-serve: |^I\d{4}|^\s*$")


def loading(log: str) -> tuple[str, ...]:
    """The models whose loading has begun, in that order."""
    return _models(log, _LOADING)


def loaded(log: str) -> tuple[str, ...]:
    """The models that are loaded, in the order in which that ended."""
    return _models(log, _LOADED)


def _models(log: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    found = (pattern.fullmatch(line["text"]) for line in _LINE.finditer(log))
    return tuple(dict.fromkeys(match["model"] for match in found if match))


def occupied_socket(log: str) -> str | None:
    """The address that the server could not bind because another process uses it; else None."""
    found = _PORT_IN_USE.search(log)
    return found["socket"] if found else None


def stub_failure(log: str) -> str | None:
    """The reason why no Python backend can run here; None as long as the log has none."""
    found = _STUB_FAILED.search(log)
    if found is None:
        return None
    bash = " (Triton starts it with bash)" if found["why"].endswith("Errno = 2") else ""
    return found["why"] + bash


def failures(log: str) -> dict[str, str]:
    """The reason of each model that could not be loaded, except those that depend on another."""
    reasons: dict[str, str] = {}
    for line in _LINE.finditer(log):
        text = _unescaped(line["text"])
        for pattern in _FAILED:
            found = pattern.fullmatch(text)
            if found is not None:
                reasons.setdefault(found["model"], _plain(found["why"]))
                break
    for model, reason in list(reasons.items()):
        cause = _DEPENDS.search(reason)
        if cause is not None and cause["model"] in reasons:
            del reasons[model]
        elif "failed to read text proto" in reason:
            details = "; ".join(found["why"] for found in _PARSER.finditer(log))
            reasons[model] = f"{reason}: {details}" if details else reason
    return reasons


def only_stubs_failed(log: str) -> bool:
    """Whether models could not be loaded, and that of none says more of its backend process."""
    reasons = failures(log).values()
    return bool(reasons) and all(map(_STUB_NOT_HEALTHY.fullmatch, reasons))


def reason(log: str, status: int | None) -> str:
    """Why the server ended, in one line; `status` is its exit status, 128 + n for signal n."""
    if cause := _cause(log):
        return cause
    if ended := _ENDED_BY_US.search(log):
        return ended["why"]
    if status is not None and (number := signal_of(status)) is not None:
        memory = ", which may mean that memory ran out" if number == signal.SIGKILL else ""
        return f"tritonserver was {how_it_ended(status)}{memory}"
    fatal = [found["why"] for found in _FATAL.finditer(log)]
    if fatal:
        return _plain(fatal[-1])
    useful = [line for line in log.splitlines() if not _NOISE.search(line)]
    if useful:
        return _plain(useful[-1])
    return f"tritonserver ended with status {status} and logged no reason"


def before_ready(log: str, status: int) -> str:
    """The reason of a server that ended before it was ready, after how it ended."""
    why = _cause(log) if signal_of(status) is not None else reason(log, status)
    return f", before it was ready{why and f': {why}'}"


def _cause(log: str) -> str:
    """Why no model, or one of them, could be loaded; empty where the log does not say it."""
    if reasons := failures(log):
        return "; ".join(f"cannot load {model}: {why}" for model, why in reasons.items())
    return stub_failure(log) or ""


def starts(path: Path) -> int:
    """How often the server was started, as far as the log goes back."""
    return _text(path).count(_START)


def read(path: Path) -> str:
    """The log since the last start of the server; empty as long as there is no file."""
    return _text(path).rpartition(_START)[2]


def of_ended(log: LogFile | None) -> str:
    """The same of a server that has ended just now; empty where its output is not in a file."""
    if log is None:
        return ""
    log.settle()
    return read(log.path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text


def _plain(why: str) -> str:
    """The reason without status, exception class, position in the stub, and repetitions."""
    why = why.partition("\n\nAt:\n")[0]
    why = _EXCEPTION.sub("", _STATUS.sub("", why.strip()))
    parts = [" ".join(part.split()) for part in re.split(r";(?:\s+|$)", why)]
    return "; ".join(dict.fromkeys(part for part in parts if part)).rstrip(";. ")
