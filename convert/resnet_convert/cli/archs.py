"""`resnet-convert archs`: the networks that `--arch` accepts."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.table import Table

from resnet_convert.cli.options import JsonOption
from resnet_serve import console
from resnet_serve.architectures import ARCHITECTURES, Architecture
from resnet_serve.architectures.catalog import CATALOG
from resnet_serve.architectures.registry import nearest
from resnet_serve.console import completion
from resnet_serve.errors import UsageError


def archs(
    pattern: Annotated[
        str | None,
        typer.Argument(
            help="Part of a name, as 50d, or a pattern, as 'preact*'.",
            autocompletion=completion.architectures,
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the networks that --arch accepts."""
    rows = _matching(pattern or "")
    if as_json:
        console.show_json({"architectures": [_facts(row) for row in rows]})
    else:
        console.show(_table(rows))


def _matching(pattern: str) -> list[Architecture]:
    """The rows with such a name; raises `UsageError` where there is none."""
    wanted = pattern.lower()
    glob = wanted if set(wanted) & set("*?[") else f"*{wanted}*"
    rows = [row for row in ARCHITECTURES.values() if fnmatch.fnmatchcase(row.name, glob)]
    if not rows:
        near = ", ".join(nearest(pattern))
        raise UsageError(
            f"no architecture matches {pattern!r}",
            remedy=f"The nearest: {near}." if near else "Without a pattern all are listed.",
        )
    return rows


def _facts(row: Architecture) -> dict[str, Any]:
    return {
        "name": row.name,
        "family": row.family,
        "image_size": row.image_size,
        "classes": row.classes,
        "depth": row.depth,
        "block": row.block,
        "shortcut": row.shortcut,
        "preactivation": row.preactivation,
        "parameters": row.parameters,
        "summary": row.summary,
        "published_weights": _published(row),
    }


def _published(row: Architecture) -> list[str]:
    """Versions of its published weights, as in `--weights imagenet:v1`."""
    return [version for name, version in CATALOG if name == row.name]


def _table(rows: Sequence[Architecture]) -> Table:
    drawn = console.table(caption=f"{len(rows)} of {len(ARCHITECTURES)} networks")
    for heading in ("network", "pixels", "classes", "parameters", "what it is", "imagenet"):
        right = heading in ("pixels", "classes", "parameters")
        drawn.add_column(heading, justify="right" if right else "left")
    for row in rows:
        drawn.add_row(
            row.name,
            str(row.image_size),
            str(row.classes),
            f"{row.parameters / 1e6:.1f} M",
            row.summary,
            ", ".join(_published(row)),
        )
    return drawn
