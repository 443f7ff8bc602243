"""Results that are kept: a line of JSON each, so that an interrupted run goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Kept:
    """The rows in a file, in the order in which they were measured."""

    path: Path

    def rows(self, kind: str, **wanted: object) -> list[Row]:
        """Those of a kind whose fields are as wanted. A line that was cut off is left out."""
        found = []
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if row["kind"] == kind and all(row.get(key) == each for key, each in wanted.items()):
                found.append(row)
        return found

    def add(self, kind: str, rows: list[Mapping[str, object]]) -> None:
        """Keep rows that belong together: all of them or none."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps({"kind": kind, **row}) + "\n" for row in rows)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)
