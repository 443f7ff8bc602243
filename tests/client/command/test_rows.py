"""Rows of results: written, read again, and complete or not."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_client.command.rows import CsvRows, JsonRows, Recorded, Rows, csv_rows
from resnet_client.contract import Contract
from resnet_client.errors import BadImageError, UsageError
from resnet_client.prediction import Prediction
from resnet_serve.activation import SOFTMAX, Activation, Kind

FIELDS = ("label", "index", "probability", "logit")
BEST = (Prediction("cat", 3, 0.75, 2.5), Prediction('a "dog", big', 1, 0.25, 1.5))
ERROR = BadImageError("damaged image", where="a.png")
names = st.text(st.characters(exclude_characters="\r\0"), min_size=1)


def contract(classes: int, activation: Activation) -> Contract:
    def unused(image: object) -> np.ndarray:
        raise AssertionError

    return Contract("m", "1", "image", classes, 8, unused, False, activation)


@given(st.lists(names, min_size=1), st.data())
def test_rows_are_read_again_and_half_a_row_is_not(images: list[str], data: st.DataObject) -> None:
    for rows in (JsonRows(), CsvRows(2, FIELDS)):
        text = rows.heading + "".join(rows.row(image, "m", BEST, None) for image in images)
        text += rows.row("bad", "m", (), ERROR)
        whole = list(rows.complete(text))
        assert "".join(whole) == text
        begin = 1 if rows.heading else 0
        assert [rows.recorded(row) for row in whole[begin:]] == [
            *(Recorded(image, "m", False) for image in images),
            Recorded("bad", "m", True),
        ]
        cut = data.draw(st.integers(0, len(text) - 1))
        kept = list(rows.complete(text[:cut]))
        assert kept == whole[: len(kept)]
        assert len("".join(kept)) <= cut < len("".join(whole[: len(kept) + 1]))


def test_the_fields_of_a_csv_row() -> None:
    rows = CsvRows(3, FIELDS)
    text = rows.heading + rows.row("a.png", "m", BEST, None) + rows.row("b", "m", (), ERROR)
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["image"], first["model"], first["error"]) == ("a.png", "m", "")
    assert (first["label_2"], first["index_2"]) == ('a "dog", big', "1")
    assert (float(first["probability_1"]), float(first["logit_1"])) == (0.75, 2.5)
    assert first["label_3"] == first["logit_3"] == second["label_1"] == ""
    assert second["error"] == "a.png: damaged image"


def test_the_fields_of_a_json_row() -> None:
    found = json.loads(JsonRows().row("a.png", "m", BEST, None))
    assert found["predictions"][0] == {
        "label": "cat",
        "index": 3,
        "probability": 0.75,
        "logit": 2.5,
    }
    assert json.loads(JsonRows().row("b", "m", (), ERROR)) == {
        "image": "b",
        "model": "m",
        "error": "a.png: damaged image",
    }


@pytest.mark.parametrize("text", ["\n", "x\n", "[]\n", '{"image": 1}\n', "a,b\n", "1\n"])
@pytest.mark.parametrize("rows", [JsonRows(), CsvRows(1, FIELDS)], ids=["json", "csv"])
def test_what_is_no_row(rows: Rows, text: str) -> None:
    with pytest.raises(ValueError):
        rows.recorded(text)


def test_as_many_columns_as_predictions() -> None:
    def columns(classes: int, activation: Activation, top: int | None) -> list[str]:
        cells = csv_rows(contract(classes, activation), top).heading.strip().split(",")
        return cells[3:]

    several, alone = Activation(Kind.SIGMOID, (0.5,)), Activation(Kind.SIGMOID, (0.5,))
    assert len(columns(1000, SOFTMAX, None)) == 5 * 4
    assert len(columns(3, SOFTMAX, 9)) == 3 * 4
    assert columns(9, Activation(Kind.NONE), 1) == ["label_1", "index_1", "logit_1"]
    assert columns(9, several, 1)[-1] == "above_threshold_1"
    assert len(columns(1, alone, None)) == 5
    assert len(columns(1, alone, 7)) == 10
    with pytest.raises(UsageError, match=r"--csv has as many columns .* --top, or use --json"):
        csv_rows(contract(9, several), None)
