"""The findings of the doctor as a table, as JSON, and as a verdict on each feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from rich.table import Table
from rich.text import Text

from resnet_serve import console
from resnet_serve.errors import HostError, UsageError
from resnet_serve.host import Host

FEATURES = ("convert", "serve", "loadtest", "classify")
Status = Literal["ok", "warning", "missing"]

_COLOURS = {"ok": "green", "warning": "yellow", "missing": "red"}


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    `command` is how to get what is missing. `needed_for` lists the features that cannot work when
    it is missing.
    """

    subject: str
    status: Status
    found: str
    command: str = ""
    needed_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """All findings about this host."""

    findings: tuple[Finding, ...]
    host: Host

    def lacking(self, feature: str) -> tuple[Finding, ...]:
        """The missing findings without which `feature` cannot work; raises `UsageError`."""
        if feature not in FEATURES:
            raise UsageError(
                f"unknown feature {feature!r}", remedy=f"Use one of {', '.join(FEATURES)}."
            )
        return tuple(
            finding
            for finding in self.findings
            if finding.status == "missing" and feature in finding.needed_for
        )

    def require(self, features: Sequence[str]) -> None:
        """Raise `HostError` (exit code 4) when something is missing for one of `features`."""
        lacking = {finding: None for feature in features for finding in self.lacking(feature)}
        if lacking:
            commands = dict.fromkeys(finding.command for finding in lacking if finding.command)
            raise HostError(
                f"{', '.join(features)} cannot work on this host without "
                f"{', '.join(finding.subject for finding in lacking)}",
                remedy="; ".join(commands),
            )

    def to_json(self) -> dict[str, object]:
        """The document of `resnet-serve doctor --json`: host, features, findings."""
        return {
            "host": self.host.to_json(),
            "features": {feature: not self.lacking(feature) for feature in FEATURES},
            "findings": [asdict(finding) for finding in self.findings],
        }


def table(diagnosis: Diagnosis) -> Table:
    """One row per finding, and below them the features that work here."""
    verdicts = [
        f"{feature}: {'works here' if not diagnosis.lacking(feature) else 'something is missing'}"
        for feature in FEATURES
    ]
    drawn = console.table(caption=" · ".join(verdicts))
    for heading in ("", "status", "found", "how to get it"):
        drawn.add_column(heading)
    for finding in diagnosis.findings:
        optional = finding.status == "missing" and not finding.needed_for
        status = (
            Text("optional", "dim") if optional else Text(finding.status, _COLOURS[finding.status])
        )
        # Text, not markup: 'resnet-serve[server]' must not lose its brackets.
        drawn.add_row(finding.subject, status, Text(finding.found), Text(finding.command))
    return drawn
