"""Machines: the price table of a plan, and where the service times of each machine come from.

    machine,price_per_hour,speed,measurements
    c7i.large,0.089,1,
    c7i.xlarge,0.178,,loadtest-xlarge.json

`speed` says how much faster a machine computes than where the model was measured, which is an
assumption of the user's; `measurements` is a result of that machine's own, beside the table.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from resnet_serve.errors import InputFileError

_REQUIRED = ("machine", "price_per_hour")
_COLUMNS = (*_REQUIRED, "speed", "measurements")
_REMEDY = f"Its columns are {', '.join(_COLUMNS)}; the last two may be empty or missing."


@dataclass(frozen=True)
class Machine:
    """A type of machine: its price in the table's currency, None where there is no table.

    `measurements` is its own result; without one, times are divided by `speed`.
    """

    name: str
    price_per_hour: float | None = None
    speed: float = 1.0
    measurements: Path | None = None


MEASURED = Machine("as measured")


def read(path: Path) -> tuple[Machine, ...]:
    """The machines of a price table; raises `InputFileError` with the line that is wrong."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputFileError(f"cannot read the price table: {reason}", where=path) from error
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    names = tuple(reader.fieldnames or ())
    unknown = [each for each in names if each not in _COLUMNS]
    missing = [each for each in _REQUIRED if each not in names]
    if unknown or missing:
        wrong = f"no column {missing[0]}" if missing else f"a column {unknown[0]!r}"
        raise InputFileError(f"the price table has {wrong}", where=path, remedy=_REMEDY)
    found = tuple(_machine(row, path, reader.line_num) for row in reader)
    if not found:
        raise InputFileError("the price table has no machine", where=path, remedy=_REMEDY)
    named = [each.name for each in found]
    twice = next((each for each in named if named.count(each) > 1), None)
    if twice is not None:
        raise InputFileError(
            f"the machine {twice} is in the price table twice",
            where=path,
            remedy="Give each its own name.",
        )
    return found


def _machine(row: dict[str, str], path: Path, line: int) -> Machine:
    where = f"{path}:{line}"
    if None in row or None in row.values():
        raise InputFileError(
            "the line has another number of columns than the first",
            where=where,
            remedy=_REMEDY,
        )
    name = row["machine"].strip()
    if not name:
        raise InputFileError("a machine has no name", where=where, remedy=_REMEDY)
    price = _positive(row["price_per_hour"], "price_per_hour", where)
    speed_text, file = (row.get(each, "").strip() for each in ("speed", "measurements"))
    if speed_text and file:
        raise InputFileError(
            f"{name} has a speed and measurements of its own",
            where=where,
            remedy="Leave the speed empty: its own measurements say it.",
        )
    speed = _positive(speed_text, "speed", where) if speed_text else 1.0
    return Machine(name, price, speed, path.parent / file if file else None)


def _positive(text: str, column: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise InputFileError(
            f"the {column} is {text.strip()!r}, not a number above 0",
            where=where,
            remedy="Write it as 0.089, without a currency.",
        )
    return number
