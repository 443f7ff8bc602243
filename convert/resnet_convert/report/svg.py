"""SVG: a figure drawn by matplotlib as an element of an HTML page.

Colours become CSS variables with a default, so that the page's light and dark styles apply to the
figure; text stays text, in the page's font. The same numbers give the same bytes: matplotlib's
global state and the user's matplotlibrc are neither read nor changed.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from resnet_serve.figures import CONVERTED, INK, NOTABLE, RULE, SOFT, STYLE
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import matplotlib
    from matplotlib.axes import Axes
else:
    matplotlib = optional("matplotlib", extra="convert")

__all__ = ["CONVERTED", "INK", "NOTABLE", "RULE", "SOFT", "figure", "inline"]

_VARIABLES = {INK: "ink", SOFT: "soft", RULE: "rule", CONVERTED: "converted", NOTABLE: "notable"}

_P = ParamSpec("_P")
_Painter = Callable[Concatenate["Axes", _P], str]


def figure(size_in: tuple[float, float]) -> Callable[[_Painter[_P]], Callable[_P, str]]:
    """Decorator: a function that draws on axes and returns a title becomes one that returns an SVG.

    `size_in` is the figure's width and height in inches; the SVG is an element for a page.
    """

    def finish(paint: _Painter[_P]) -> Callable[_P, str]:
        style: Any = STYLE | {"svg.hashsalt": paint.__name__}

        @functools.wraps(paint)
        def painted(*args: _P.args, **kwargs: _P.kwargs) -> str:
            with matplotlib.rc_context():
                matplotlib.rcdefaults()
                matplotlib.rcParams.update(style)
                canvas = matplotlib.figure.Figure(figsize=size_in, layout="constrained")
                title = paint(canvas.subplots(), *args, **kwargs)
                text = io.StringIO()
                nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
                canvas.savefig(text, format="svg", transparent=True, metadata=nothing)
            return inline(text.getvalue(), title)

        return painted

    return finish


def inline(text: str, title: str) -> str:
    """Matplotlib's SVG file as an element of a page, with a title for screen readers.

    Ids that nothing refers to are removed: two figures on a page would share them.
    """
    body = text[text.index("<svg") :]
    view = re.search(r'viewBox="[^"]*"', body)
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{view.group() if view else ""} role="img" stroke-linejoin="round">'
        f"<title>{escape(title)}</title>"
    )
    body = body[body.index(">") + 1 :]
    # This rule would apply to the whole page.
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.S)
    used = set(re.findall(r'(?:href="|url\()#([\w-]+)', body))
    body = re.sub(r' id="([^"]*)"', lambda m: m.group() if m.group(1) in used else "", body)
    body = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", body)
    body = re.sub(r"font-family: [^;\"]*; ?", "", body)  # the page's font
    body = re.sub(r' (?:d|x|y|transform)="[^"]*"', _rounded, body)
    body = re.sub(r"<g([^>]*)>\s*((?:<use [^>]*>\s*)+)</g>", _styled_once, body)
    for colour, name in _VARIABLES.items():
        body = body.replace(colour, f"var(--{name}, {colour})")
    return head + re.sub(r"\n\s*", "\n", body).strip()


def _rounded(attribute: re.Match[str]) -> str:
    """Two decimals: a hundredth of a point is finer than any screen."""
    return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number.group()):.2f}", attribute.group())


def _styled_once(group: re.Match[str]) -> str:
    """Move the style of markers that all look the same to their group: there are thousands."""
    attributes, markers = group.groups()
    styles = set(re.findall(r' style="[^"]*"', markers))
    if len(styles) != 1:
        return group.group()
    style = styles.pop()
    return f"<g{attributes}{style}>{markers.replace(style, '')}</g>"
