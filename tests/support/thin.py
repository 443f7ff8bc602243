"""Rows of the family with fewer channels: the same graph in a fraction of the arithmetic."""

from __future__ import annotations

from dataclasses import replace

from resnet_serve.architectures import ARCHITECTURES, Architecture

_SHALLOW = 56  # layers, up to which a network is traced and folded whatever its kind
_DEEPEST = 1000  # from which on a network has a test of its own


def thin(row: Architecture) -> Architecture:
    """The row with a quarter of ImageNet's channels: 16, the least that FP8 needs."""
    return replace(row, widths=(16, 32, 64, 128)[: len(row.widths)])


def kind(row: Architecture) -> tuple[object, ...]:
    """All that distinguishes one graph from another, except its depth."""
    grouped = row.groups > 1
    arithmetic = row.strided, row.preactivation, row.bare_stem, grouped
    return row.block, row.stem, row.shortcut, len(row.widths), *arithmetic


def shallowest(up_to: int = _DEEPEST) -> list[Architecture]:
    """One network of every kind, the shallowest, with at most so many layers."""
    rows = [row for row in ARCHITECTURES.values() if row.depth <= up_to]
    by_depth = sorted(rows, key=lambda row: row.depth, reverse=True)
    return list({kind(row): row for row in by_depth}.values())


# Their graphs differ from those of other rows in the number of blocks alone; so does the wide one's
# in the channels, which `thin` does not take away.
TRACED_ROWS = [*shallowest(up_to=_SHALLOW), ARCHITECTURES["wide_resnet50_2"]]
