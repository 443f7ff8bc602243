"""One file of Triton's trace, read as one request: when, which model, how long, what came of it.

    [{"id":1,"model_name":"net_image","model_version":1,"request_id":"a"},
     {"id":1,"timestamps":[{"name":"REQUEST_START","ns":50498489824701}]},
     {"id":2,"model_name":"net_preprocess","model_version":1,"request_id":"a","parent_id":1}, …

A model inside an ensemble is a child. Triton writes the client's request id as it is, so that a
file need not be JSON, and its contents are the client's word where the id has quotes in it: a file
is one request, and never a line of another one.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

Status: TypeAlias = Literal[
    "computed", "failed", "queue_full", "queue_timeout", "refused", "unreadable"
]
# The steps of an ensemble, 0 for a model that is none, None for one that is not known.
Steps: TypeAlias = Callable[[str, int], int | None]
_LONGEST_ID = 128
_DECODER = json.JSONDecoder(strict=False)
_SENT = ("GRPC_SEND_START", "HTTP_SEND_START", "INFER_RESPONSE_COMPLETE")
_KEYS = ("model_name", "model_version", "request_id", "parent_id")
_ALL_KEYS = {"id", *_KEYS}
_PROTOCOLS = {"GRPC_WAITREAD_START": "grpc", "HTTP_RECV_START": "http"}


class _UnreadableError(Exception):
    """Not what Triton writes."""


@dataclass(frozen=True)
class Step:
    """A model that a request went through; times in µs, None where it was not run."""

    model: str
    version: int
    queue_us: int | None
    compute_us: int | None


@dataclass(frozen=True)
class Line:
    """One request. `at` is Unix time; times are in µs, None where they are not known.

    `queue_us` and `compute_us` are sums over the models that it went through, `total_us` is from
    the request's acceptance to its response. `computed` says that every model of it ran: an error
    that the last one returned is not in Triton's trace.
    """

    at: float
    status: Status
    request_id: str | None = None
    protocol: str | None = None
    model: str | None = None
    version: int | None = None
    total_us: int | None = None
    queue_us: int | None = None
    compute_us: int | None = None
    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        at = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds")
        found: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "request_id": self.request_id,
            "protocol": self.protocol,
            "model": self.model,
            "version": self.version,
            "status": self.status,
            "total_us": self.total_us,
            "queue_us": self.queue_us,
            "compute_us": self.compute_us,
        }
        if self.steps:
            found["steps"] = [vars(step) for step in self.steps]
        return json.dumps(found)


@dataclass
class _Record:
    """A model's part of a request; `ns` are its moments on the monotonic clock by name."""

    number: int
    model: str | None = None
    version: int | None = None
    request_id: str | None = None
    parent: int | None = None
    ns: dict[str, int] = field(default_factory=dict)


def read(text: str, steps: Steps) -> Line:
    """The request in a file that Triton has completed."""
    try:
        return _line(text, steps)
    except (_UnreadableError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return Line(time.time(), "unreadable")


def _line(text: str, steps: Steps) -> Line:
    top, below = _records(text)
    started = top.ns.get("REQUEST_START", min(top.ns.values(), default=time.monotonic_ns()))
    at = time.time() - (time.monotonic_ns() - started) / 1e9
    protocol = next((name for moment, name in _PROTOCOLS.items() if moment in top.ns), None)
    identity = top.request_id[:_LONGEST_ID] if top.request_id else None
    if top.model is None or top.version is None:
        return Line(at, "refused", identity, protocol)
    inner = {each.parent for each in below}
    run = sorted(
        (
            each
            for each in (below or [top])
            if each.number not in inner and not steps(each.model or "", each.version or 0)
        ),
        key=lambda each: each.ns.get("REQUEST_START", 0),
    )
    gone = tuple(Step(each.model or "", each.version or 0, *_times(each)) for each in run)
    sent = next((top.ns[moment] for moment in _SENT if moment in top.ns), None)
    computed = [step.compute_us for step in gone if step.compute_us is not None]
    return Line(
        at,
        _status(run, len(below), steps(top.model, top.version)),
        identity,
        protocol,
        top.model,
        top.version,
        None if sent is None else (sent - started) // 1000,
        sum(step.queue_us for step in gone if step.queue_us is not None),
        sum(computed) if computed else None,
        gone if below else (),
    )


def _records(text: str) -> tuple[_Record, list[_Record]]:
    """The request's own record, and those of the models below it."""
    found: dict[int, _Record] = {}
    names = Counter[str]()
    # Triton escapes nothing, so that a backslash is one.
    entries = _DECODER.decode(text.replace("\\", "\\\\"))
    for entry in entries:
        number = entry["id"]
        record = found.get(number) or found.setdefault(number, _Record(number))
        if "timestamps" in entry:
            if len(entry) != 2:
                raise _UnreadableError
            record.ns.update((moment["name"], moment["ns"]) for moment in entry["timestamps"])
            continue
        names.update(entry.keys())
        record.model, record.version = entry["model_name"], entry["model_version"]
        record.request_id, record.parent = entry.get("request_id"), entry.get("parent_id")
    # A key that came twice was not Triton's; one that is not known neither.
    if names["model_name"] != sum(record.model is not None for record in found.values()):
        raise _UnreadableError
    if any(text.count(f'"{name}":') != names[name] for name in _KEYS) or set(names) - _ALL_KEYS:
        raise _UnreadableError
    tops = [record for record in found.values() if record.parent is None]
    below = [record for record in found.values() if record.parent is not None]
    if len(tops) != 1 or not all(record.ns for record in found.values()):
        raise _UnreadableError
    if any(record.parent not in found or record.model is None for record in below):
        raise _UnreadableError
    return tops[0], below


def _times(record: _Record) -> tuple[int | None, int | None]:
    """The time in the queue and in the backend; the latter ends before its output is sent on."""
    ns = record.ns
    queued, began = ns.get("QUEUE_START"), ns.get("COMPUTE_START")
    left = began if began is not None else ns.get("REQUEST_END")
    ended = ns.get("COMPUTE_OUTPUT_START", ns.get("COMPUTE_END"))
    queue_us = None if queued is None or left is None else (left - queued) // 1000
    return queue_us, None if began is None or ended is None else (ended - began) // 1000


def _status(run: list[_Record], below: int, expected: int | None) -> Status:
    """What came of a request that went to `below` models inside an ensemble of `expected`."""
    for record in run:
        if "COMPUTE_START" not in record.ns:
            # What found no room in a queue never ends for Triton; what waited too long does.
            return "queue_timeout" if "REQUEST_END" in record.ns else "queue_full"
    return "failed" if below < (expected or 0) else "computed"
