"""Results as rows, one per image: JSON objects on lines, or CSV with a heading.

    {"image": …, "model": …, "predictions": [{"label": …, "index": …, …}]}      or "error": …
    image,model,error,label_1,index_1,probability_1,logit_1,label_2,…

Names that are not UTF-8 keep their bytes. A row can be read again.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from resnet_client.contract import Contract
from resnet_client.errors import ClientError, UsageError
from resnet_client.prediction import DEFAULT_TOP, Prediction

_FIRST = ("image", "model", "error")
_FIELDS = ("label", "index", "probability", "logit", "above_threshold")


@dataclass(frozen=True)
class Recorded:
    """A row that was written before."""

    image: str
    model: str
    failed: bool


class Rows(Protocol):
    """A form of rows. Each ends with a line feed, also the `heading`, which may be empty.

    `start` is what every row begins with, `options` are those that ask for the form.
    """

    heading: str
    start: str
    options: str

    def row(
        self,
        name: str,
        model: str,
        predictions: Sequence[Prediction],
        error: ClientError | None,
    ) -> str:
        """One image."""

    def complete(self, text: str) -> Iterator[str]:
        """The complete rows at the beginning of a text, its heading among them."""

    def recorded(self, row: str) -> Recorded:
        """A row, read again; raises ValueError for anything else."""


class JsonRows:
    """A JSON object on each line; a prediction has the fields that the model has."""

    heading = ""
    start = '{"image": '
    options = "--json"

    def row(
        self,
        name: str,
        model: str,
        predictions: Sequence[Prediction],
        error: ClientError | None,
    ) -> str:
        """One image: its predictions, or the error in their place."""
        outcome = (
            {"predictions": [_without_none(asdict(prediction)) for prediction in predictions]}
            if error is None
            else {"error": str(error)}
        )
        return json.dumps({"image": name, "model": model, **outcome}) + "\n"

    def complete(self, text: str) -> Iterator[str]:
        """The lines that end."""
        return (f"{line}\n" for line in text.split("\n")[:-1])

    def recorded(self, row: str) -> Recorded:
        """The object of a line."""
        found = json.loads(row)
        if not isinstance(found, dict) or not {"image", "model"} <= found.keys():
            raise ValueError("no result")
        return Recorded(str(found["image"]), str(found["model"]), "error" in found)


class CsvRows:
    """CSV (RFC 4180, line feeds) with as many classes in each row."""

    start = ""

    def __init__(self, classes: int, fields: Sequence[str]) -> None:
        self._classes, self._fields = classes, fields
        numbered = [f"{name}_{rank}" for rank in range(1, classes + 1) for name in fields]
        self.heading = _csv([*_FIRST, *numbered])
        self.options = f"--csv --top {classes}"
        self._width = 3 + len(numbered)

    def row(
        self,
        name: str,
        model: str,
        predictions: Sequence[Prediction],
        error: ClientError | None,
    ) -> str:
        """One image: its predictions, or the error before empty fields."""
        cells: list[object] = [name, model, "" if error is None else str(error)]
        for prediction in predictions:
            cells += [getattr(prediction, each) for each in self._fields]
        return _csv([*cells, *[""] * (self._width - len(cells))])

    def complete(self, text: str) -> Iterator[str]:
        """The rows that end outside of quotes."""
        begun = ""
        for line in text.split("\n")[:-1]:
            begun += f"{line}\n"
            if begun.count('"') % 2 == 0:
                yield begun
                begun = ""

    def recorded(self, row: str) -> Recorded:
        """The first fields of a row."""
        (cells,) = csv.reader(io.StringIO(row, newline=""))
        if len(cells) != self._width:
            raise ValueError("another number of fields")
        return Recorded(cells[0], cells[1], bool(cells[2]))


def csv_rows(contract: Contract, top: int | None) -> CsvRows:
    """The columns for a model; raises `UsageError` where their number depends on the image."""
    activation = contract.activation
    alone = contract.classes == 1
    if activation.decides_labels and top is None and not alone:
        raise UsageError(
            f"{contract.model!r} has a threshold for each label, and any number of them may reach "
            "it, but --csv has as many columns for every image",
            remedy="Say how many with --top, or use --json.",
        )
    fields = [name for name in _FIELDS if name != "above_threshold" or activation.decides_labels]
    if not (activation.decides_labels or activation.decides_classes):
        fields.remove("probability")
    if alone and activation.decides_labels:
        return CsvRows(min(top or 1, 2), fields)
    return CsvRows(min(top or DEFAULT_TOP, contract.classes), fields)


def options_of(text: str) -> str | None:
    """The options that asked for the rows of a text; None where it is no text of rows."""
    if text.startswith(JsonRows.start):
        return JsonRows.options
    heading, end, _ = text.partition("\n")
    if not end or not heading.startswith(",".join(_FIRST)):
        return None
    return f"--csv --top {len(re.findall(r',label_[0-9]+', heading))}"


def _csv(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _without_none(fields: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in fields.items() if value is not None}
