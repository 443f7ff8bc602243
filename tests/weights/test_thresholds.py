"""`--threshold`: a number, or a file that gives every label its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resnet_serve.errors import InputFileError, UsageError
from resnet_serve.weights.thresholds import read

LABELS = ("cat", "dog", "a/b")


def test_a_number_is_for_every_label() -> None:
    assert read("0.25", LABELS) == (0.25,)


@pytest.mark.parametrize("given", ["0", "1", "-0.1", "50", "nan"])
def test_a_number_that_is_no_probability_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        read(given, LABELS)


def test_a_file_is_in_the_order_of_the_labels(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.json"
    path.write_text(json.dumps({"dog": 0.6, "a/b": 0.1, "cat": 0.4}))
    assert read(str(path), LABELS) == (0.4, 0.6, 0.1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"cat": 0.4, "dog": 0.6}', "no threshold for 'a/b'"),
        ('{"cat": 0.4, "dog": 0.6, "a/b": 0.5, "cow": 0.5}', "names 'cow', which is none"),
        ('{"cat": 0.4, "dog": 60, "a/b": 0.5}', "threshold of 'dog' is 60"),
        ("[0.4, 0.6, 0.5]", "not an object"),
        ("0.4\n0.6\n", "not JSON"),
        ('{"Cat": 0.4, "dog": 0.6, "a/b": 0.5}', "'Cat'.*near it: 'cat'"),
        ('{"cat": 0.4, "cat": 0.5}', "twice: 'cat'"),
    ],
)
def test_a_file_that_does_not_give_them_is_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "thresholds.json"
    path.write_text(content)
    with pytest.raises(InputFileError, match=message):
        read(str(path), LABELS)


def test_labels_that_a_file_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.json"
    path.write_text('{"cat": 0.4}')
    with pytest.raises(InputFileError, match="several outputs"):
        read(str(path), ("cat", "cat"))
    with pytest.raises(InputFileError, match="neither a number nor a file"):
        read(str(tmp_path / "none.json"), LABELS)


def test_names_match_in_either_unicode_form_and_once(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.json"
    path.write_text(json.dumps({"cafe\u0301": 0.4, "the\u0301": 0.6}))
    assert read(str(path), ("th\u00e9", "caf\u00e9")) == (0.6, 0.4)
    path.write_text(json.dumps({"cafe\u0301": 0.4, "caf\u00e9": 0.6}))
    with pytest.raises(InputFileError, match="two thresholds for"):
        read(str(path), ("th\u00e9", "caf\u00e9"))
    path.write_text(json.dumps({"tench, Tinca tinca": 0.4, "goldfish": 0.6}))
    assert read(str(path), ("goldfish", "tench")) == (0.6, 0.4)
