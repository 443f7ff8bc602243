"""Predictions as text: bars and colours on a terminal, and no control characters anywhere."""

from __future__ import annotations

import io
import json

import pytest

from resnet_client import BadImageError, Prediction
from resnet_client.command import screen
from resnet_client.command.rows import JsonRows


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


HALF = (Prediction("cat", 1, 0.5, 2.0), Prediction("a dog", 0, 0.02, 1.0))


def test_a_terminal_gets_bars_and_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    text = screen.block("x.png", HALF, stream=Terminal())
    assert text.count("█") == 10
    assert "\x1b[" in text
    monkeypatch.setenv("NO_COLOR", "1")
    plain = screen.block("x.png", HALF, stream=Terminal())
    assert plain.splitlines() == [
        "x.png",
        f"  cat     50.0%  {'█' * 10}",
        "  a dog    2.0%  ▍",
    ]
    assert screen.block("x.png", HALF, stream=io.StringIO()).splitlines() == [
        "x.png",
        "  cat     50.0%",
        "  a dog    2.0%",
    ]


def test_nothing_the_terminal_would_obey_is_printed() -> None:
    hostile = (Prediction("\x1b[2Jcat\r\n", 1, 0.5, 2.0),)
    text = screen.block("evil\x1b]0;title\x07\udcff.png", hostile, stream=io.StringIO())
    assert "\x1b" not in text
    assert "\r" not in text
    assert text.count("\n") == 1
    text.encode()


def test_a_long_label_is_shortened() -> None:
    text = screen.block("x", (Prediction("y" * 500, 1, 1.0, 2.0),), stream=io.StringIO())
    assert len(text.splitlines()[1]) < 60
    assert "…" in text


@pytest.mark.parametrize(("probability", "cells"), [(0, ""), (1, "█" * 20), (0.5, "█" * 10)])
def test_bars_are_to_scale(probability: float, cells: str) -> None:
    assert screen.bar(probability) == cells


def test_json_has_the_predictions_or_the_error() -> None:
    good = json.loads(JsonRows().row("x.png", "resnet18", HALF, None))
    assert [each["label"] for each in good["predictions"]] == ["cat", "a dog"]
    bad = json.loads(JsonRows().row("x.png", "resnet18", (), BadImageError("is empty")))
    assert bad == {"image": "x.png", "model": "resnet18", "error": "is empty"}


def test_raw_scores_are_no_percentages() -> None:
    age = (Prediction("age", 0, None, 31.25),)
    text = screen.block("x.png", age, stream=Terminal())
    assert "%" not in text
    assert "█" not in text
    assert text.splitlines()[1] == "  age     31.2500"
    (shown,) = json.loads(JsonRows().row("x.png", "age", age, None))["predictions"]
    assert shown == {"label": "age", "index": 0, "logit": 31.25}


def test_labels_below_their_threshold_are_marked() -> None:
    both = (
        Prediction("cat", 0, 0.5, 0.0, above_threshold=True),
        Prediction("dog", 1, 0.4, -0.4, above_threshold=False),
    )
    assert screen.block("x.png", both, stream=io.StringIO()).splitlines() == [
        "x.png",
        "  cat   50.0%",
        "  dog   40.0%  below its threshold",
    ]
    found = json.loads(JsonRows().row("x.png", "pets", both, None))["predictions"]
    assert [each["above_threshold"] for each in found] == [True, False]
    text = screen.block("x.png", (), stream=io.StringIO())
    assert text.splitlines() == ["x.png", "  no label reaches its threshold"]
