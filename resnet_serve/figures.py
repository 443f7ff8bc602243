"""Figures: the colours and the style of every plot, in the report and in files of their own.

A figure in the report is an element of its page, where colours become CSS variables; one in a file
has a white ground. The same numbers give the same bytes: matplotlib's global state and the user's
matplotlibrc are neither read nor changed.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from resnet_serve.optional import optional

matplotlib: Any = optional("matplotlib", extra="plot")
matplotlib_figure: Any = optional("matplotlib.figure", extra="plot")

# Blue and vermilion of Okabe & Ito (2008), distinct with every kind of colour vision: the reference
# is grey, the converted model blue, and what needs attention vermilion.
INK, SOFT, RULE = "#1b1f24", "#5d6773", "#d8dee4"
CONVERTED, NOTABLE = "#0072b2", "#c04d00"
# Of several models, in this order; also of Okabe & Ito.
SERIES = (CONVERTED, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", SOFT)

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.parse_math": False,
    "text.color": INK,
    "axes.facecolor": "none",
    "axes.edgecolor": RULE,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
}


def file(name: str, size_in: tuple[float, float], paint: Callable[[Any], None]) -> str:
    """The text of an SVG file: `paint` draws on its axes, `size_in` is width and height in inches.

    `name` makes its ids. Raises `HostError` without matplotlib.
    """
    text = io.StringIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**STYLE, "svg.hashsalt": name, "font.family": "sans-serif"})
        canvas = matplotlib_figure.Figure(figsize=size_in, layout="constrained")
        paint(canvas.subplots())
        canvas.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def limit(axes: Any, value: float, said: str) -> None:
    """A limit of the vertical axis: a line, and its words above it at the left."""
    axes.axhline(value, color=NOTABLE, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        said,
        (0, value),
        xycoords=axes.get_yaxis_transform(),
        xytext=(4, 3),
        textcoords="offset points",
        fontsize=9,
        color=NOTABLE,
    )
