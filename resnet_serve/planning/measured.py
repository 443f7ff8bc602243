"""Measured: the configurations of a model that a load test or a tuning run has measured.

    loadtest/loadtest-NAME.json    one configuration, the one that was served
    tuning/tune-NAME.json          every configuration that was tried

Each becomes the stations that a request passes, and the time that it takes outside of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.loadtest.executions import Executed, Served
from resnet_serve.passport.facts import MalformedFactsError, decode
from resnet_serve.planning import service
from resnet_serve.planning.service import Station
from resnet_serve.triton import queue_bound
from resnet_serve.tuning.configuration import Configuration
from resnet_serve.tuning.trials import State, Trial

_AGAIN = "Measure it again with this version: resnet-serve loadtest NAME --concurrency 1,2,4,8,16"


@dataclass(frozen=True)
class Candidate:
    """One configuration: what a request passes, and `outside_ms` for client and network.

    `host` is the machine where it was measured. `assumptions` are what the measurement does not
    say, as sentences.
    """

    title: str
    stations: tuple[Station, ...]
    outside_ms: float
    host: str
    source: Path
    assumptions: tuple[str, ...] = ()


def found(name: str, folder: Path) -> tuple[Path, ...]:
    """The results of `resnet-serve tune` and `loadtest` in their default places below a folder.

    Raises `UsageError` where there are none.
    """
    model, colon, _ = name.partition(":")
    if colon:
        raise UsageError(
            f"{name} names a version, and the served one is measured", remedy=f"Give {model}."
        )
    places = (
        folder / "tuning" / f"tune-{name}.json",
        folder / "loadtest" / f"loadtest-{name}.json",
    )
    there = tuple(each for each in places if each.is_file())
    if not there:
        raise UsageError(
            f"no measurement of {name} in tuning/ or loadtest/",
            remedy="Serve it (resnet-serve up) and measure it: resnet-serve loadtest "
            f"{name} --concurrency 1,2,4,8,16; or name a result: --measured FILE.",
        )
    return there


def read(path: Path, name: str) -> tuple[Candidate, ...]:
    """The candidates of one result, of the model `name`.

    Raises `InputFileError` for a file that is no such result, or is one of another model or of an
    earlier version that did not store the times of batches.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputFileError(f"cannot be read: {error.strerror}", where=path) from error
    except ValueError as error:
        raise InputFileError(f"is not JSON ({error})", where=path) from error
    known = isinstance(document, dict) and {"levels", "trials"} & set(document)
    if not known:
        raise InputFileError(
            "is not a result of resnet-serve loadtest or tune", where=path, remedy=_AGAIN
        )
    if document.get("model") != name:
        raise InputFileError(
            f"is a result of {document.get('model')!r}, not of {name!r}",
            where=path,
            remedy=f"Name a result of {name} with --measured, or plan the other model.",
        )
    try:
        read_one = _of_load_test if "levels" in document else _of_tuning
        candidates = read_one(document, path)
    except MalformedFactsError as error:
        raise InputFileError(f"cannot be read: {error}", where=path, remedy=_AGAIN) from error
    if not candidates:
        raise InputFileError(
            "has no times of batches", where=path, remedy=_AGAIN.replace("NAME", name)
        )
    return candidates


def _of_load_test(document: Mapping[str, Any], path: Path) -> tuple[Candidate, ...]:
    if document.get("batch_size") != 1:
        raise InputFileError(
            f"was measured with requests of {document.get('batch_size')} images",
            where=path,
            remedy="A plan is for requests of one image: measure without --batch-size.",
        )
    served = decode(tuple[Served, ...], document.get("served", []), "served")
    levels = [each for each in document["levels"] if each.get("executed")]
    if not served or not levels:
        if document.get("served") == [] and document["levels"]:
            raise InputFileError(
                "is of a model that several networks answer at once, which is not simulated",
                where=path,
                remedy="Plan its members, each by its own load test.",
            )
        return ()
    by_model: dict[str, list[Executed]] = {}
    for level in levels:
        for each in decode(tuple[Executed, ...], level["executed"], "executed"):
            by_model.setdefault(each.model, []).append(each)
    outside_ms = decode(float, levels[0].get("client_network_ms"), "client_network_ms")
    if not math.isfinite(outside_ms):
        raise MalformedFactsError("client_network_ms is missing")
    stations, said = _stations(served, by_model)
    where = "" if document.get("same_host") else " (the client's: the server's is not known)"
    return (
        Candidate(
            f"version {document.get('version')}, {_how(served[-1])}",
            stations,
            outside_ms,
            f"{_host(document.get('client_host'))}{where}",
            path,
            (*_busy(document.get("not_stated")), *said, _outside(outside_ms)),
        ),
    )


def _of_tuning(document: Mapping[str, Any], path: Path) -> tuple[Candidate, ...]:
    trials = decode(tuple[Trial, ...], document["trials"], "trials")
    host = _host(document.get("host"))
    made = []
    for trial in trials:
        executed = [point.executed for point in trial.points if point.executed is not None]
        if trial.state is State.EQUAL or not executed:
            continue
        served = _served(document["model"], trial.configuration)
        first = trial.points[0]
        stations, said = _stations((served,), {served.model: executed}, bounded=False)
        outside_ms = max(0.0, first.p50_ms - 1000 * stations[0].mean_s[0])
        (station,) = stations
        bound = queue_bound.of_latency(1000 * station.mean_s[0], instances=served.instances)
        station = replace(station, queue=bound.requests, rejects_oldest=True)
        queue = f"at most {bound.requests} requests wait, as after resnet-serve tune --apply"
        made.append(
            Candidate(
                f"version {trial.configuration.version}, {trial.configuration}",
                (station,),
                outside_ms,
                host,
                path,
                (*_busy(document.get("not_stated")), *said, queue, _outside(outside_ms)),
            )
        )
    return tuple(made)


def _stations(
    served: Sequence[Served], executed: Mapping[str, Sequence[Executed]], *, bounded: bool = True
) -> tuple[tuple[Station, ...], tuple[str, ...]]:
    stations, said = [], []
    for each in served:
        try:
            station, allowed = service.station(each, executed.get(each.model, ()))
        except ValueError as error:
            raise MalformedFactsError(f"{each.model}: {error}") from error
        stations.append(station)
        if allowed > station.max_batch:
            said.append(
                f"{each.model} runs batches of at most {station.max_batch}, the largest that was "
                f"measured, where {allowed} are allowed; load it with more requests in flight to "
                "measure larger ones"
            )
        if station.deviation_s[0] > station.mean_s[0]:
            said.append(
                f"{each.model} takes {1000 * station.mean_s[0]:.2g} ms for one image with a "
                f"deviation of {1000 * station.deviation_s[0]:.2g} ms, more than the mean, as on a "
                "busy host: the median and the p99 are not those of a quiet machine"
            )
        if bounded and not each.queue_requests:
            said.append(f"the queue of {each.model} has no bound, as it was measured")
    return tuple(stations), tuple(said)


def _served(model: str, wanted: Configuration) -> Served:
    return Served(
        model=model,
        instances=wanted.instances,
        max_batch_size=wanted.max_batch_size,
        delay_ms=wanted.delay_ms,
        threads=wanted.threads,
        one_per_core_below=wanted.one_per_core_below,
    )


def _how(served: Served) -> str:
    largest = served.max_batch_size
    if not served.threads:  # GPUs, or a backend of another
        batches = f"batches up to {largest}" if largest > 1 else "no batches"
        return f"{served.instances} instance{'s' if served.instances > 1 else ''}, {batches}"
    return str(
        Configuration(
            version=0,
            instances=served.instances,
            threads=served.threads,
            max_batch_size=largest,
            delay_ms=served.delay_ms,
            one_per_core_below=served.one_per_core_below,
        ).canonical()
    )


def _host(host: object) -> str:
    if not isinstance(host, Mapping):
        return "an unknown machine"
    return f"{host.get('processor')}, {host.get('cores')} cores"


def _busy(not_stated: object) -> tuple[str, ...]:
    """What a measurement says of the host that it ran on."""
    if not isinstance(not_stated, str):
        return ()
    return (f"the times are those of a quiet machine, but when they were measured: {not_stated}",)


def _outside(outside_ms: float) -> str:
    return (
        f"client and network take {outside_ms:.2g} ms of a request, as where it was measured; "
        "another network has another time"
    )
