"""Page: a template of this folder filled in, as one self-contained HTML page.

Every value is escaped unless the template says that it is safe. The formats of numbers are filters
of the templates.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from resnet_convert.report.plots import number
from resnet_serve.optional import optional

if TYPE_CHECKING:
    import jinja2
else:
    jinja2 = optional("jinja2", extra="convert")


def render(name: str, **values: object) -> str:
    """The template `name` with these values; one that is missing is an error."""
    page: str = _environment().get_template(name).render(**values)
    return page


@cache
def _environment() -> jinja2.Environment:
    """Every template is compiled once in a process."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "percent": percent,
        "times": times,
        "points": points,
        "bytes": size,
        "count": count,
    }
    return environment


def _template(name: str) -> str:
    return resources.files("resnet_convert.report").joinpath(name).read_text(encoding="utf-8")


def percent(share: float) -> str:
    """A share of one, in percent, with two decimals; no line break before the sign."""
    text = f"{100 * share:.2f}" if np.isfinite(share) else number(share)
    return f"{text}\N{NO-BREAK SPACE}%"


def times(ratio: float) -> str:
    """A ratio as `1.5×`: one decimal, two below one, none from 100 on."""
    digits = 0 if ratio >= 100 else 1 if ratio >= 1 else 2
    return f"{ratio:,.{digits}f}×"


def points(value: float) -> str:
    """Percentage points with their sign; zero has no sign."""
    return f"{value:+.2f}".replace("-", "−") if round(value, 2) else "0.00"


def size(in_bytes: int) -> str:
    """A file's size in decimal units: kB, or MB from 10⁶ bytes on."""
    return f"{number(in_bytes / 1e6)} MB" if in_bytes >= 1e6 else f"{in_bytes / 1e3:.0f} kB"


def count(quantity: int, one: str, many: str = "") -> str:
    """A quantity with its noun: `1 core`, `2 cores`; `many` for an irregular plural."""
    return f"{quantity:,} {one if quantity == 1 else many or one + 's'}"
