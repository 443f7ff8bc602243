"""`resnet-serve list`: the models of a repository, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from resnet_serve import console
from resnet_serve.parity.verdict import Verdict
from resnet_serve.passport import CheckpointFacts, ConvertedPassport, EngineState, Passport
from resnet_serve.triton.repository import versions
from resnet_serve.triton.repository.versions import Deployed

CLASSIFIER = "classifier"


def table(found: Sequence[Deployed], *, now: datetime | None = None) -> Table:
    """Models, versions, precision, parity numbers and age, by model and version."""
    shown = console.table("Deployed models")
    columns: dict[str, Literal["left", "right"]] = {
        "model": "left",
        "version": "right",
        "network": "left",
        "precision": "left",
        "top-1": "right",
        "agree": "right",
        "speed": "right",
        "age": "right",
        "": "left",
    }
    for column, justify in columns.items():
        shown.add_column(column, justify=justify)
    for row in rows(found, now=now):
        mark = Text("gate overridden", "bold red") if row["gate_overridden"] else Text("")
        if row["engine"] in (EngineState.NOT_BUILT, EngineState.NOT_RUN):
            mark = Text(row["engine"], "yellow")
        if row["shows_nothing"] is not None:
            mark = Text("parity shows nothing", "yellow")
        if not row["trained"]:
            mark = Text("untrained", "yellow")
        if not row["served"]:
            mark = Text(f"not served {mark}".rstrip(), "dim")
        top1, head = row["top1"], row["head"]
        shown.add_row(
            row["model"],
            str(row["version"]),
            row["architecture"] if head == CLASSIFIER else f"{row['architecture']} {head}",
            row["precision"],
            "" if top1 is None else f"{top1:.2f} %",
            "" if row["agreement"] is None else f"{100 * row['agreement']:.2f} %",
            _speed(row),
            age(timedelta(seconds=row["age_s"])),
            mark,
        )
    return shown


def _speed(row: Mapping[str, Any]) -> str:
    if row["speedup_not_stated"] is not None:
        return "not stated: host was busy"
    return "" if row["speedup"] is None else f"{row['speedup']:.1f}×"


def rows(found: Sequence[Deployed], *, now: datetime | None = None) -> list[dict[str, Any]]:
    """The same as data, for `--json`."""
    moment = now or datetime.now(UTC)
    listed = []
    for deployed in found:
        passport = deployed.passport
        decisions, speedup = passport.parity.decisions, passport.latency.speedup
        listed.append(
            {
                "model": deployed.name,
                "version": deployed.version,
                "served": deployed.served,
                "architecture": passport.architecture,
                "precision": passport.precision,
                "trained": passport.trained,
                "assumed": _assumed(passport),
                "gate_overridden": passport.overridden,
                "shows_nothing": Verdict(passport.gate.checks).constant,
                "head": passport.head if isinstance(passport, ConvertedPassport) else CLASSIFIER,
                "top1": decisions and decisions.converted_top1,
                "agreement": passport.parity.agreement,
                "speedup": speedup.median if speedup and speedup.not_stated is None else None,
                "speedup_not_stated": speedup and speedup.not_stated,
                "engine": passport.engine_state,
                "created": passport.created.isoformat(),
                "age_s": max(0.0, (moment - passport.created).total_seconds()),
                "path": str(deployed.path),
            }
        )
    return listed


def _assumed(passport: Passport) -> list[str]:
    """What no file said of a converted network's weights, by subject."""
    weights = passport.weights
    if not isinstance(weights, CheckpointFacts):
        return []  # a composed model: its members have them
    return [each.subject for each in weights.assumptions]


def unbuilt(found: Sequence[Deployed]) -> list[Deployed]:
    """The models whose served version has no plan yet, so that Triton cannot load them."""
    return [
        each
        for each in versions.served(found).values()
        if each.passport.engine_state is EngineState.NOT_BUILT
    ]


def age(time: timedelta) -> str:
    """A time span as text, in its largest unit: 3 d, 5 h, 7 min or 12 s."""
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if time.total_seconds() >= seconds:
            return f"{int(time.total_seconds() // seconds)} {unit}"
    return f"{int(time.total_seconds())} s"
