"""The run's file: what a run is, kept in its output folder, so that it goes on as what it was.

    output/  _run.json  _inputs.parquet  _attempts/  _lock  part-000000.parquet …  _summary.json

Names that begin with `_` or `.` are left out by readers of Parquet folders (Arrow, Spark, pandas).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_serve import durable
from resnet_serve.batch.source.frozen import Frozen
from resnet_serve.errors import InputFileError, UsageError

RUN_FILE, LOCK_FILE, ATTEMPTS, SUMMARY_FILE = "_run.json", "_lock", "_attempts", "_summary.json"
FORMAT = 1


@dataclass(frozen=True)
class RunFile:
    """What a run is: the model's `identity`, what was asked, and the frozen input.

    `asked` has the options that decide the rows and the parts; `source` what the user gave.
    """

    identity: Mapping[str, Any]
    asked: Mapping[str, Any]
    source: Mapping[str, Any]
    frozen: Frozen

    @property
    def rows_per_part(self) -> int:
        """How many rows a part has at most."""
        return int(self.asked["rows_per_part"])

    def write(self, output: Path) -> None:
        """Keep it in the output folder. Raises `HostError`."""
        data = {
            "format": FORMAT,
            "model": dict(self.identity),
            "asked": dict(self.asked),
            "source": dict(self.source),
            "inputs": self.frozen.to_json(),
        }
        durable.write(output / RUN_FILE, json.dumps(data, indent=2) + "\n")

    def require_same(self, other: RunFile, output: Path) -> None:
        """Raise `UsageError` where `other` would be another run than this one, which began here."""
        for name, before, now in (
            ("model", self.identity, other.identity),
            ("option", self.asked, other.asked),
            ("input", self.source, other.source),
        ):
            for key, value in before.items():
                if now.get(key) != value:
                    raise UsageError(
                        f"the run that began there has the {name} {key} {value!r}, not "
                        f"{now.get(key)!r}",
                        where=output,
                        remedy="Repeat it as it was, or give another --output.",
                    )


def read(output: Path) -> RunFile | None:
    """The run that began in a folder; None where there is none. Raises `InputFileError`."""
    path = output / RUN_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']}")
        return RunFile(
            data["model"],
            data["asked"],
            data["source"],
            Frozen.from_json(data["inputs"]).at(output),
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputFileError(
            f"is not the file of a run ({error!r:.100})",
            where=path,
            remedy="Give another --output.",
        ) from error


@contextmanager
def alone(output: Path) -> Iterator[None]:
    """Keep other processes out of the folder, until this one ends in whatever way.

    A run that fails before it has begun leaves no folder behind that was not there. Raises
    `UsageError` where another one is in it, `HostError` where it cannot be written.
    """
    new = not output.exists()
    with durable.explained(output):
        output.mkdir(parents=True, exist_ok=True)
        (output / LOCK_FILE).touch()
    busy = UsageError(
        "another run is writing there now",
        where=output,
        remedy="Wait for it, or give another --output.",
    )
    with durable.locked(output / LOCK_FILE, busy):
        try:
            yield
        except BaseException:
            if new and [each.name for each in output.iterdir()] == [LOCK_FILE]:
                (output / LOCK_FILE).unlink()
                output.rmdir()
            raise
