"""What tritonserver says in its log: what it has loaded, and in its own words why it failed.

I1121 00:08:01.628028 8302 model_lifecycle.cc:839] "successfully loaded 'resnet50'"
E1121 00:08:01.715980 8302 model_lifecycle.cc:642] "failed to load 'x' version 1: Internal: …"
"""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

_LINE = re.compile(r'^[IWE]\d{4} \S+ +\d+ \S+\] "(?P<said>.*)"$', re.MULTILINE)
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
_PORT_TAKEN = re.compile(r"Socket '(?P<socket>[^']+)' already in use")
# The server then waits for its stub for ever.
_STUB_FAILED = re.compile(
    r"^(?P<why>Failed to run python backend stub.*|\S*triton_python_backend_stub: .*)$",
    re.MULTILINE,
)
# What a host without a GPU always says, and what tells nothing about a failure.
_NOISE = re.compile(r"CudaDriverHelper|NVML|DCGM|pinned|\| |^\+|^I\d{4}|^\s*$")


def loading(log: str) -> tuple[str, ...]:
    """The models the server has begun to load, in that order."""
    return _models(log, _LOADING)


def loaded(log: str) -> tuple[str, ...]:
    """The models that are loaded, in the order they were."""
    return _models(log, _LOADED)


def _models(log: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    found = (pattern.fullmatch(line["said"]) for line in _LINE.finditer(log))
    return tuple(dict.fromkeys(match["model"] for match in found if match))


def taken_socket(log: str) -> str | None:
    """The address the server could not bind because another process has it."""
    found = _PORT_TAKEN.search(log)
    return found["socket"] if found else None


def stub_failure(log: str) -> str | None:
    """Why no Python backend can run here, if the server has tried and could not."""
    found = _STUB_FAILED.search(log)
    if found is None:
        return None
    bash = " (Triton starts it with bash)" if found["why"].endswith("Errno = 2") else ""
    return found["why"] + bash


def failures(log: str) -> dict[str, str]:
    """Why each model could not be loaded, without what follows from another one's failure."""
    reasons: dict[str, str] = {}
    for line in _LINE.finditer(log):
        said = _unescaped(line["said"])
        for pattern in _FAILED:
            found = pattern.fullmatch(said)
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


def reason(log: str, status: int | None) -> str:
    """One line: why the server ended; `status` is its exit status, 128 + n for signal n."""
    if reasons := failures(log):
        return "; ".join(f"cannot load {model}: {why}" for model, why in reasons.items())
    if stub := stub_failure(log):
        return stub
    if status is not None and status > 128:
        number = status - 128
        name = signal.Signals(number).name if number in set(signal.Signals) else "unknown"
        return f"tritonserver was ended by signal {number} ({name})"
    fatal = [found["why"] for found in _FATAL.finditer(log)]
    if fatal:
        return _plain(fatal[-1])
    telling = [line for line in log.splitlines() if not _NOISE.search(line)]
    if telling:
        return _plain(telling[-1])
    return f"tritonserver ended with status {status} and said nothing"


def read(path: Path) -> str:
    """The log so far; empty while there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _unescaped(said: str) -> str:
    try:
        return str(json.loads(f'"{said}"'))
    except ValueError:
        return said


def _plain(why: str) -> str:
    """Without the status, the exception's class, the stub's position and repetitions."""
    why = why.partition("\n\nAt:\n")[0]
    why = _EXCEPTION.sub("", _STATUS.sub("", why.strip()))
    parts = [" ".join(part.split()) for part in re.split(r";(?:\s+|$)", why)]
    return "; ".join(dict.fromkeys(part for part in parts if part)).rstrip(";. ")
