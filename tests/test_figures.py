"""The style of every plot: text stays text, the same numbers give the same bytes."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import matplotlib

from resnet_serve import figures


def paint(axes: Any) -> None:
    axes.plot([1, 2], [3, 4], color=figures.CONVERTED)
    axes.set_title("a <title>")
    figures.limit(axes, 3.5, "p99 ≤ 3.5 ms")


def test_a_file_is_svg_and_the_same_again() -> None:
    text = figures.file("one", (3, 2), paint)
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "p99 ≤ 3.5 ms" in text
    assert "a &lt;title&gt;" in text
    assert figures.CONVERTED in text
    assert figures.file("one", (3, 2), paint) == text


def test_what_a_user_has_set_is_neither_read_nor_changed() -> None:
    before = figures.file("one", (3, 2), paint)
    with matplotlib.rc_context({"font.size": 31, "lines.linewidth": 9}):
        assert figures.file("one", (3, 2), paint) == before
        assert matplotlib.rcParams["font.size"] == 31


def test_series_are_distinct() -> None:
    assert len(set(figures.SERIES)) == len(figures.SERIES) >= 5
