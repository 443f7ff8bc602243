"""A matplotlib figure as an element of a page: colours as variables, ids, titles, small files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from resnet_convert.report import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

pytest.importorskip("matplotlib")
TITLE = "{http://www.w3.org/2000/svg}title"


@svg.figure((3, 2))
def dots(axes: Axes, count: int, *, colour: str = svg.CONVERTED) -> str:
    axes.plot(range(count), range(count), "o", color=colour)
    axes.set(xlabel="a < b")
    return f"{count} dots & more"


def test_a_painter_becomes_a_function_that_returns_an_svg() -> None:
    element = ElementTree.fromstring(dots(4))
    title = element.find(TITLE)
    assert title is not None
    assert title.text == "4 dots & more"
    assert element.get("role") == "img"
    # At 72 points an inch, the size of the figure.
    assert [float(side) for side in str(element.get("viewBox")).split()] == [0, 0, 216, 144]
    assert dots.__name__ == "dots"


def test_colours_are_the_pages_variables() -> None:
    figure = dots(4, colour=svg.NOTABLE)
    assert f"var(--notable, {svg.NOTABLE})" in figure
    assert not re.findall(
        r"(?<!, )#[0-9a-f]{6}\b", figure.replace("#000000", "").replace("#ffffff", "")
    )


def test_ids_are_those_that_something_refers_to() -> None:
    figure = dots(4)
    ids = re.findall(r' id="([^"]+)"', figure)
    assert ids
    assert set(ids) == set(re.findall(r'(?:href="|url\()#([\w-]+)', figure))
    # Two figures of a page may not share an id.
    assert "<style" not in figure


def test_text_stays_text_in_the_font_of_the_page() -> None:
    figure = dots(4)
    assert "a &lt; b" in figure
    assert "font-family" not in figure


def test_a_marker_more_costs_a_few_bytes() -> None:
    """Equal markers have their style once, in their group, and coordinates have two decimals."""
    assert len(dots(1004)) - len(dots(4)) < 80 * 1000
    assert not re.search(r' (?:x|y)="\d+\.\d{3}', dots(20))


def test_the_file_of_matplotlib_becomes_an_element() -> None:
    file = (
        '<?xml version="1.0"?>\n<svg viewBox="0 0 9 9" width="9pt">\n'
        "<defs>\n <style>* {}</style>\n</defs>\n"
        '<g id="figure_1"><path id="p" d="M 1.23456 2"/><use xlink:href="#p"/></g>\n</svg>\n'
    )
    assert svg.inline(file, 'a "title"') == (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'viewBox="0 0 9 9" role="img" stroke-linejoin="round">'
        "<title>a &quot;title&quot;</title>"
        '<g><path id="p" d="M 1.23 2"/><use xlink:href="#p"/></g>\n</svg>'
    )
