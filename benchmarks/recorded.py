"""Write what a benchmark found: rows as CSV, the host and the versions as JSON, pictures as SVG."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from resnet_serve import durable, host, passport

RESULTS = Path(__file__).parent / "results"


def in_words(row: Mapping[str, object]) -> str:
    """A row in one line of text, without what it leaves empty, to be shown while others follow."""
    return ", ".join(
        f"{name.replace('_', ' ')} {value}"
        for name, value in row.items()
        if value not in ("", None)
    )


def record(
    name: str,
    rows: Sequence[Mapping[str, object]],
    summary: Mapping[str, object],
    pictures: Mapping[str, str] | None = None,
) -> None:
    """Write `<name>-<date>` into benchmarks/results and say where; `pictures` are SVG texts."""
    now = datetime.now(UTC)
    stem = f"{name}-{now:%Y-%m-%d}"
    table = io.StringIO()
    writer = csv.DictWriter(table, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    facts = {
        **summary,
        "taken": now.isoformat(timespec="seconds"),
        "host": host.describe().to_json(),
        "versions": passport.versions(),
    }
    durable.write(RESULTS / f"{stem}.csv", table.getvalue())
    durable.write(RESULTS / f"{stem}.json", json.dumps(facts, indent=2) + "\n")
    for part, picture in (pictures or {}).items():
        durable.write(RESULTS / f"{stem}-{part}.svg", picture + "\n")
    print(f"written to {RESULTS / stem}.*")
