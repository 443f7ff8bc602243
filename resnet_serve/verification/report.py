"""What was verified: one row per comparison, as a table and as JSON, and the error of the worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

from resnet_serve import console
from resnet_serve.errors import HostError, InputFileError, ParityError, ResnetServeError
from resnet_serve.verification.files import Verdict

_BAD = "bold red"
_COLOURS = {"ok": "green", "differs": "red", "damaged": _BAD, "refused": _BAD, "unknown": "yellow"}


@dataclass(frozen=True)
class HostCheck:
    """One comparison. `found` has both sides, `remedy` what to do unless it is ok."""

    model: str
    version: int
    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Report:
    """Every check of every version."""

    checks: tuple[HostCheck, ...]

    def require(self) -> None:
        """Raise the error of the worst verdict: a damaged file, a refused engine, another host."""
        self._require(
            (("damaged", InputFileError), ("refused", ParityError), ("differs", HostError))
        )

    def require_parity(self) -> None:
        """Raise `ParityError` for whatever is not as it was proved."""
        self._require((("damaged", ParityError), ("differs", ParityError)))

    def _require(self, errors: Sequence[tuple[str, type[ResnetServeError]]]) -> None:
        for verdict, error in errors:
            wrong = [check for check in self.checks if check.verdict == verdict]
            if wrong:
                first = wrong[0]
                more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
                raise error(
                    f"{first.subject}: {first.found}{more}",
                    where=f"{first.model} version {first.version}",
                    remedy=f"{first.remedy[:1].upper()}{first.remedy[1:]}.",
                )

    def to_json(self) -> list[dict[str, object]]:
        """What `--json` prints."""
        return [asdict(check) for check in self.checks]


def table(report: Report) -> Table:
    """One row per check, and how many of each verdict."""
    counts = {
        verdict: sum(check.verdict == verdict for check in report.checks) for verdict in _COLOURS
    }
    caption = " · ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    drawn = console.table(caption=caption)
    for heading in ("model", "", "verdict", "found", "what to do"):
        drawn.add_column(heading)
    for check in report.checks:
        drawn.add_row(
            Text(f"{check.model} {check.version}"),
            Text(check.subject),
            Text(check.verdict, _COLOURS[check.verdict]),
            Text(check.found),
            Text(check.remedy),
        )
    return drawn
