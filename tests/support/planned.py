"""Measurements to plan from, as `resnet-serve loadtest` and `tune` write them, and stations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tunable

from resnet_serve.loadtest.executions import BatchTimes, Executed, Served
from resnet_serve.passport.facts import encode
from resnet_serve.planning.measured import Candidate
from resnet_serve.planning.service import Station

TIMES_MS = {1: 5.0, 2: 8.0, 4: 14.0}


def executed(
    times_ms: Mapping[int, float] | None = None, *, model: str = "net", **changed: Any
) -> Executed:
    """Batches of these sizes, 200 of each, with a tenth of their mean as deviation."""
    rows = tuple(
        BatchTimes(batch_size=size, executions=200, mean_ms=mean, deviation_ms=mean / 10)
        for size, mean in (times_ms or TIMES_MS).items()
    )
    return Executed(model=model, batches=rows, **changed)


def served(**changed: Any) -> Served:
    facts = {"model": "net", "instances": 1, "max_batch_size": 4, "threads": 1}
    return Served(**{**facts, "queue_requests": 40, "queue_timeout_ms": 10_000.0, **changed})


def load_test(**changed: Any) -> dict[str, Any]:
    """The document of a load test."""
    document = {
        "model": "net",
        "version": "3",
        "batch_size": 1,
        "same_host": True,
        "client_host": {"processor": "Some CPU", "cores": 2},
        "served": [served()],
        "levels": [{"client_network_ms": 1.0, "executed": [executed()]}],
    }
    made: dict[str, Any] = encode({**document, **changed})
    return made


def tuning(*trials: Any, **changed: Any) -> dict[str, Any]:
    """The document of a tuning run."""
    own = trials or (tunable.trial(tunable.point(executed=executed())),)
    host = {"processor": "Some CPU", "cores": 2}
    made: dict[str, Any] = encode({"model": "net", "trials": own, "host": host, **changed})
    return made


def write(path: Path, document: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def station(*mean_s: float, **changed: Any) -> Station:
    """A station whose batches of 1, 2, … take these times exactly."""
    facts = {"name": "net", "instances": 1, "deviation_s": (0.0,) * len(mean_s)}
    return Station(mean_s=mean_s, **{**facts, **changed})


def candidate(*stations: Station, **changed: Any) -> Candidate:
    facts = {"title": "version 1", "outside_ms": 0.0, "host": "Some CPU", "source": Path("x.json")}
    return Candidate(stations=stations, **{**facts, **changed})
