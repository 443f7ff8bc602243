"""CSV files of class names: a column with the numbers 0 … n-1 and one with the names.

    index,name        1,dog        name;index        "tench, Tinca tinca"
    0,cat             0,cat        dog;1             goldfish

A single column is a text file (`lines`). With more than two, the titles decide. The separator is a
comma, a semicolon or a tab, whichever is in every line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from resnet_serve.datasets.class_labels import lines as text_lines
from resnet_serve.datasets.class_labels.numbers import AS_A_LIST, NUMBER, complete, in_order
from resnet_serve.errors import InputFileError

SUFFIXES = (".csv", ".tsv")
_NAMES = {"name", "names", "label", "labels", "class", "classes", "class_name", "label_name"}
_NUMBERS = {"", "index", "idx", "id", "number", "class_id", "label_id", "class_index"}


def names_of(lines: Sequence[str], path: Path) -> list[str]:
    """The names in the lines of a CSV file, in the order of their numbers.

    A single column is one name per line. Raises `InputFileError` where it is not certain which
    column has the names, or which the numbers.
    """
    try:
        reader = csv.reader(lines, delimiter=_delimiter(lines), skipinitialspace=True, strict=True)
        rows = [[cell.strip() for cell in row] for row in reader]
    except csv.Error as error:
        raise InputFileError(f"is not valid CSV ({error})", where=path, remedy=AS_A_LIST) from error
    width = len(rows[0])
    odd = next((at for at, row in enumerate(rows) if len(row) != width), None)
    if odd is not None:
        raise InputFileError(
            f"row {odd + 1} has {len(rows[odd])} columns, the first has {width}",
            where=path,
            remedy='Quote names that contain the separator: "tench, Tinca tinca".',
        )
    if width == 1:
        if rows[0][0].lower() in _NAMES:
            raise InputFileError(
                f"its first line, {rows[0][0]!r}, may be the title of the column",
                where=path,
                remedy=f"Remove the title. Or, if a class is called that: {AS_A_LIST}",
            )
        return text_lines.names_of([row[0] for row in rows], path)
    titled = not any(map(_is_number, rows[0]))
    titles = [title.lower().replace(" ", "_") for title in rows[0]] if titled else [""] * width
    body = rows[1:] if titled else rows
    numbers = _number_column(titles, body, titled, path)
    others = [column for column in range(width) if column != numbers]
    chosen = others if width == 2 else [column for column in others if titles[column] in _NAMES]
    if len(chosen) != 1:
        raise InputFileError(
            f"has {width} columns, and it is not certain which has the names",
            where=path,
            remedy="Keep two columns, the number and the name.",
        )
    return in_order(((int(row[numbers]), row[chosen[0]]) for row in body), path)


def _delimiter(lines: Sequence[str]) -> str:
    """The separator that every line has; a comma where none has one."""
    return next((each for each in ",;\t" if all(each in line for line in lines)), ",")


def _is_number(cell: str) -> bool:
    return re.fullmatch(NUMBER, cell) is not None


def _number_column(titles: Sequence[str], body: list[list[str]], titled: bool, path: Path) -> int:
    """The column of the numbers: the only one, or the one with its title."""
    columns = [at for at in range(len(titles)) if body and all(_is_number(row[at]) for row in body)]
    numeric = len(columns)
    if numeric > 1:
        whole = [at for at in columns if complete(int(row[at]) for row in body)]
        named = [at for at in whole if titled and titles[at] in _NUMBERS]
        columns = whole if len(whole) == 1 else named
    if len(columns) == 1:
        return columns[0]
    raise InputFileError(
        f"has {len(titles)} columns, and not one of them with the numbers of the classes"
        if numeric == 0
        else f"has {numeric} columns that may be the numbers of the classes",
        where=path,
        remedy="Keep two columns, the number from 0 and the name, under the titles index,name.",
    )
