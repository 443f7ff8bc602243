"""Compared: every runtime and precision of a host as one self-contained HTML page.

The template `compared.html.j2` has the texts; the style and the images are those of the report.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from resnet_convert.autoselect.comparison import Comparison, Row
from resnet_convert.report import page, pictures
from resnet_convert.report.decided import changed
from resnet_convert.request import Request
from resnet_serve import passport
from resnet_serve.datasets import Images
from resnet_serve.host import Host
from resnet_serve.weights import Weights

if TYPE_CHECKING:
    from resnet_convert.conversion import Conversion


@dataclass(frozen=True)
class Flipped:
    """The images that one row decides otherwise: as pictures, or named with both decisions."""

    name: str
    total: int
    shown: tuple[pictures.Picture, ...]
    listed: tuple[tuple[int, str, str, str, str], ...]


def title(name: str, images: Images) -> str:
    """What was compared, on which images."""
    count = f"{len(images):,}"
    what = images.name if images.name.startswith(f"{count} ") else f"{count} images, {images.name}"
    return f"{name}: the runtimes and precisions of this host, on {what}"


def render(
    comparison: Comparison,
    *,
    request: Request,
    weights: Weights,
    images: Images,
    machine: Host,
    warnings: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    deployed: Conversion | None = None,
    created: datetime | None = None,
) -> str:
    """The page of a comparison, as HTML; `created` is the date on it, now when None."""
    return page.render(
        "compared.html.j2",
        title=title(request.model_name, images),
        comparison=comparison,
        request=request,
        weights=weights,
        host=machine,
        warnings=warnings,
        notes=notes,
        deployed=deployed,
        flipped=list(_flipped(comparison, images, weights)) if weights.trained else [],
        created=(created or datetime.now(UTC)).astimezone(UTC),
        versions={"Python": machine.python, **passport.versions()},
    )


def _flipped(comparison: Comparison, images: Images, weights: Weights) -> Iterator[Flipped]:
    for row in comparison.rows:
        found = row.result.found
        if found is None or not row.flipped:
            continue
        name = f"{row.result.entrant.title} {row.result.entrant.precision.upper()}"
        yield Flipped(
            name,
            row.flipped,
            tuple(_pictures(row, images, weights)),
            tuple(changed(found, images, weights.labels, weights.activation)),
        )


def _pictures(row: Row, images: Images, weights: Weights) -> Iterator[pictures.Picture]:
    """Of a network that decides for one class; the most certain decision of PyTorch first."""
    found = row.result.found
    if found is None or found.logits is None or found.decisions is None:
        return
    first = found.decisions.changed[: pictures.CHANGED]
    yield from pictures.pictures(images, found.logits, weights.labels, first)
